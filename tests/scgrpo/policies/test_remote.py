"""A policy over servers: no turn is lost with one of them, and no weights are stale unnoticed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig as PeftOptions
from peft import get_peft_model

from envs.rollout import Limits
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.completions import Server, ServerError
from scgrpo.policies.engines import probe
from scgrpo.policies.engines.base import Sampled
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.policies.engines.handover import ByDisk
from scgrpo.policies.engines.probe import OtherDistributionError
from scgrpo.policies.engines.vllm_server import VLLMServer
from scgrpo.policies.remote import RemotePolicy
from scgrpo.policies.weight_sync import StaleWeightsError, WeightSync
from tests.scgrpo.policies.engines.small_vllm import SmallVLLM

STALL_S = 1.0
PROMPT = list(range(10, 30))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=32, layers=1, heads=2
    )
    model, _ = load_model(path)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(10.0)  # so that logits are large enough for a penalty to matter
    model.save_pretrained(path)
    return path


class Setting:
    """A trainer's model, small servers, and a policy over both."""

    def __init__(self, folder: Path, scratch: Path, stack: ExitStack) -> None:
        self._folder, self._scratch, self._stack = folder, scratch, stack
        self.model, self.tokenizer = load_model(folder)
        self.servers: list[SmallVLLM] = []
        self.urls: list[str] = []

    def serve(self, *servers: SmallVLLM) -> None:
        for server in servers or (SmallVLLM(self._folder), SmallVLLM(self._folder)):
            self.servers.append(server)
            self.urls.append(self._stack.enter_context(server.running()))

    def fleet(self, **options: Any) -> Fleet:
        engines = [VLLMServer(Server(url), stall_s=STALL_S) for url in self.urls]
        return Fleet(engines, **{"patience_s": 5.0, **options})

    def policy(self, **options: Any) -> RemotePolicy:
        fleet = self.fleet()
        handover = ByDisk(self.model, self.tokenizer, self._scratch / "weights")
        sync = WeightSync(
            self.model, self.tokenizer, fleet, handover, run="r", **options
        )
        policy = RemotePolicy(self.model, self.tokenizer, fleet, sync)
        return self._stack.enter_context(policy)

    def move(self, by: float = 1.01) -> None:
        with torch.no_grad():
            for weight in self.model.parameters():
                if weight.requires_grad:
                    weight.mul_(by)


@pytest.fixture
def setting(tiny: Path, tmp_path: Path, monkeypatch) -> Iterator[Setting]:
    # Enough to see that draws are looked at; whether a penalty shows is tested with all of them.
    monkeypatch.setattr(probe, "TURNS", 1)
    with ExitStack() as stack:
        yield Setting(tiny, tmp_path, stack)


def turn(policy: RemotePolicy, group: int = 0, seed: int = 3) -> Sampled:
    return policy.turn(PROMPT, room=30, seed=seed, group=group)


def test_a_server_that_has_the_weights_is_not_handed_them(setting):
    setting.serve()
    policy = setting.policy()
    assert "/collective_rpc" in setting.servers[0].calls
    assert not list((setting._scratch).glob("weights/*"))
    assert [server.weight_version for server in setting.servers] == ["r-0", "r-0"]
    setting.move()
    policy.sync_weights()
    assert policy.version == 1
    assert [p.name for p in (setting._scratch / "weights").iterdir()] == [
        "version-000001"
    ]
    assert [server.weight_version for server in setting.servers] == ["r-1", "r-1"]
    for server in setting.servers:
        for name, weight in server.model.state_dict().items():
            assert torch.equal(weight, setting.model.state_dict()[name])
    policy.close()
    assert not (setting._scratch / "weights").exists()


def test_a_groups_turns_go_to_one_server_and_groups_to_different_ones(setting):
    setting.serve()
    policy = setting.policy()
    for server in setting.servers:
        server.turns.clear()
    barrier = threading.Barrier(8)

    def play(place: int) -> None:
        barrier.wait()
        for more in range(3):
            turn(policy, group=place // 2, seed=10 * place + more)

    threads = [threading.Thread(target=play, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    groups = [
        {body["seed"] // 20 for body in server.turns} for server in setting.servers
    ]
    assert all(groups)
    assert not set.intersection(*groups)


@pytest.mark.parametrize("fault", ["die", "stall"])
def test_a_turn_whose_server_is_lost_is_gone_on_with_elsewhere(setting, fault, caplog):
    setting.serve()
    policy = setting.policy()
    home = setting.servers[0]
    seed = next(seed for seed in range(99) if len(turn(policy, seed=seed).ids) > 12)
    for server in setting.servers:
        server.turns.clear()
    home.fault, home.fault_after = fault, home._written + 7
    with caplog.at_level(logging.WARNING):
        ids, logprobs, _ = turn(policy, seed=seed)
    first, second = home.turns[0], setting.servers[1].turns[0]
    # Of its 7 tokens none is written again.
    assert second["prompt"] == [*PROMPT, *ids[:7]]
    assert second["max_tokens"] == first["max_tokens"] - 7
    assert len(logprobs) == len(ids) <= 30
    whole = home.logits([*PROMPT, *ids]).log_softmax(-1)
    own = [float(whole[len(PROMPT) + n - 1, i]) for n, i in enumerate(ids)]
    assert logprobs == pytest.approx(own, abs=1e-5)
    assert "an engine left, 1 of 2 work" in caplog.text
    # Its other groups are played by the other one from now on.
    assert turn(policy, group=1).ids
    assert len(home.turns) == 1


def test_a_server_that_was_started_again_waits_for_the_weights(setting):
    setting.serve()
    policy = setting.policy()
    setting.move()
    policy.sync_weights()
    home, other = setting.servers
    home.fault, home.fault_after = "die", home._written + 3
    turn(policy)
    home.restart()
    home.turns.clear()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        turn(policy, group=int(time.monotonic() * 1000))
    assert not home.turns, "it sampled from the weights that it began with"
    policy.sync_weights()
    assert {server.weight_version for server in (home, other)} == {"r-2"}
    home.turns.clear()
    turn(policy)
    assert home.turns


def test_a_server_that_was_only_away_comes_back_by_itself(setting):
    setting.serve(SmallVLLM(setting._folder))
    policy = setting.policy()
    (home,) = setting.servers
    home.fault, home.fault_after = "die", home._written + 3
    home.turns.clear()
    threading.Timer(0.7, lambda: setattr(home, "fault", "")).start()
    ids, _, _ = turn(policy)
    assert home.turns[-1]["prompt"] == [*PROMPT, *ids[:3]]


def test_without_any_server_a_turn_ends_with_every_reason(setting):
    setting.serve()
    policy = setting.policy()
    policy._fleet._patience_s = 0.5
    for server in setting.servers:
        server.fault, server.fault_after = "die", -1
    with pytest.raises(ServerError, match="no engine works: http.*; http"):
        turn(policy)
    for server in setting.servers:
        server.fault = ""
    policy.sync_weights()
    assert turn(policy).ids


def test_a_stale_server_leaves_and_the_last_one_ends_the_run(setting, caplog):
    setting.serve()
    policy = setting.policy()
    setting.servers[0].fault = "stale"
    setting.move()
    with caplog.at_level(logging.WARNING):
        policy.sync_weights()
    assert "computes with other weights than the trainer's version 1" in caplog.text
    setting.servers[0].turns.clear()
    assert turn(policy).ids
    assert turn(policy, group=1).ids
    assert not setting.servers[0].turns
    # Not given up for good.
    setting.servers[0].fault = ""
    policy.sync_weights()
    assert len(policy._fleet.working) == 2
    for server in setting.servers:
        server.fault = "stale"
    setting.move()
    with pytest.raises(StaleWeightsError, match="restart the engine"):
        policy.sync_weights()


def test_a_server_with_a_repetition_penalty_is_refused(setting, monkeypatch):
    monkeypatch.setattr(probe, "TURNS", 16)
    setting.serve(SmallVLLM(setting._folder), SmallVLLM(setting._folder, penalty=1.1))
    with pytest.raises(OtherDistributionError, match="--generation-config vllm") as e:
        setting.policy()
    assert setting.urls[1] in str(e.value)


def test_tensor_parallel_workers_are_compared_row_by_row(setting):
    setting.serve(SmallVLLM(setting._folder, tensor_parallel=2))
    policy = setting.policy()
    setting.move()
    policy.sync_weights()
    (server,) = setting.servers
    keys = [sorted(digests)[0] for digests in server.digests()]
    assert keys == ["head[0:50]", "head[50:99]"]
    server.fault = "stale"
    setting.move()
    with pytest.raises(StaleWeightsError, match=r"head\[0:50\]"):
        policy.sync_weights()


def test_a_replica_with_other_weights_is_noticed(setting):
    setting.serve(SmallVLLM(setting._folder, replicas=2))
    policy = setting.policy()
    setting.servers[0].fault = "replica"
    setting.move()
    with pytest.raises(ServerError, match="its replicas hold different weights"):
        policy.sync_weights()


def test_servers_sleep_while_a_step_learns_and_wake_in_order(setting):
    setting.serve(SmallVLLM(setting._folder))
    policy = setting.policy(sleeps=True)
    policy.sleep()
    (server,) = setting.servers
    assert server.is_asleep
    server.calls.clear()
    setting.move()
    policy.sync_weights()
    assert not server.is_asleep
    states = [call for call in server.calls if "wake" in call or "rpc" in call]
    assert states[:3] == [
        "/wake_up?tags=weights",
        "/collective_rpc",
        "/wake_up?tags=kv_cache",
    ]


def test_open_conversations_wait_through_a_hand_over(setting):
    setting.serve()
    policy = setting.policy(pauses=True)
    for server in setting.servers:
        server.calls.clear()
    written: list[Sampled] = []

    def write() -> None:
        while policy.version == 0:
            written.append(turn(policy))

    writer = threading.Thread(target=write)
    writer.start()
    while not written:
        time.sleep(0.01)
    setting.move()
    policy.sync_weights()
    writer.join(30)
    assert not writer.is_alive()
    assert all(len(ids) == len(logprobs) for ids, logprobs, _ in written)
    for server in setting.servers:
        states = ("/pause?mode=keep", "/resume", "/v1/completions")
        calls = [call for call in server.calls if call in states]
        # Nothing is scored by a server that is paused: it would not answer.
        assert calls == list(states)


def test_a_history_of_ids_is_gone_on_with_as_it_is(setting):
    setting.serve()
    policy = setting.policy()
    limits = Limits(turn_tokens=8, episode_tokens=200)
    message = [{"role": "user", "content": "Guess."}]
    with policy.begin(message, (), limits=limits, seed=3) as conversation:
        first = conversation.generate()
        reply = conversation.append("no")
        expected = conversation.generate()
    history = [*conversation.prompt.token_ids, *first.token_ids]
    with policy.resume(history, (), limits=limits, seed=0) as resumed:
        # The draws of a turn are its seed's: this is that of the second one above.
        resumed._rng = np.random.default_rng(3)
        resumed._rng.integers(2**31)
        resumed.extend(reply.token_ids)
        assert resumed.generate() == expected
    with policy.resume(history, (), limits=limits, seed=0) as resumed:
        assert len(resumed.generate(max_tokens=2).token_ids) <= 2


def test_an_adapter_of_an_earlier_step_is_noticed(setting):
    options = PeftOptions(r=4, target_modules="all-linear", init_lora_weights=False)
    setting.model = get_peft_model(setting.model, options)
    setting.serve(SmallVLLM(setting._folder))
    policy = setting.policy()
    (server,) = setting.servers
    # By so little that log-probabilities do not show it.
    setting.move(1.0 + 1e-3)
    policy.sync_weights()
    assert server.adapter == "scgrpo-version-000001"
    assert turn(policy).ids
    server.fault = "stale"
    setting.move(1.0 + 1e-3)
    # Two for each of seven linear layers.
    with pytest.raises(StaleWeightsError, match=r"lacks \d+ of 14 matrices"):
        policy.sync_weights()
