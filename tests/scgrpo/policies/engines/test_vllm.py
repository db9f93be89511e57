"""A real vLLM server follows the training: ids in and out, new weights, never stale unseen.

`make test-vllm` installs vLLM's CPU build in an environment of its own and sets VLLM_PYTHON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from peft import LoraConfig as PeftOptions
from peft import get_peft_model

from envs.rollout import Limits, play
from envs.toy.guess import ToyGuess
from scgrpo.config import EngineConfig, LoraConfig, TrainConfig, WarmStartConfig
from scgrpo.launch import train
from scgrpo.models.load import load_model
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.completions import Server, ServerError
from scgrpo.policies.engines import sampling, vllm_server
from scgrpo.policies.engines.digests import differences, norm_digests
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.policies.engines.groups import GlooGroup
from scgrpo.policies.engines.handover import ByDisk, Handover
from scgrpo.policies.engines.probe import OtherDistributionError, prompt_scores
from scgrpo.policies.engines.sampling import EXTENSION, turn_of
from scgrpo.policies.engines.transfer import ByTransfer, GroupChannel
from scgrpo.policies.engines.vllm_server import VLLMServer
from scgrpo.policies.remote import RemotePolicy
from scgrpo.policies.weight_sync import StaleWeightsError, WeightSync
from scgrpo.runs.log import read_metrics

ROOT = Path(__file__).parents[4]
IN_PROCESS = Path(__file__).with_name("in_process_vllm.py")
LIMITS = Limits(turn_tokens=8, episode_tokens=256)
START_S = 600
RANK = 8


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def model_folder() -> Path:
    return resolve_model("auto")


@contextmanager
def serving(model_folder: Path, scratch: Path, *more: str, **own: str) -> Iterator[str]:
    """A vLLM server on loopback that can follow training, with these arguments and environment."""
    python = os.environ.get("VLLM_PYTHON")
    if not python:
        pytest.skip("VLLM_PYTHON is not set: make test-vllm sets it up")
    port, log = free_port(), scratch / "server.log"
    command = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model_folder),
        "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "1024",
        "--generation-config", "vllm", "--enforce-eager", "--dtype", "float32",
        "--worker-extension-cls", EXTENSION, *more,
    ]  # fmt: skip
    own |= {
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "PYTHONPATH": str(ROOT),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env={**os.environ, **own},
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_S
        while b"Application startup complete" not in log.read_bytes():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="module")
def server(
    model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with serving(model_folder, tmp_path_factory.mktemp("vllm")) as url:
        yield url


@pytest.fixture(scope="module")
def adapter_server(
    model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    options = ["--enable-lora", "--max-lora-rank", str(RANK)]
    own = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    with serving(
        model_folder, tmp_path_factory.mktemp("vllm_lora"), *options, **own
    ) as url:
        yield url


@pytest.fixture
def loaded(model_folder: Path):
    return load_model(model_folder, dtype=torch.float32)


def policy_over(
    engine: VLLMServer,
    loaded: tuple[Any, Any],
    folder: Path,
    handover: Handover | None = None,
) -> RemotePolicy:
    model, tokenizer = loaded
    fleet = Fleet([engine])
    handover = handover or ByDisk(model, tokenizer, folder)
    sync = WeightSync(model, tokenizer, fleet, handover, run=folder.name)
    return RemotePolicy(model, tokenizer, fleet, sync)


def moved(model: torch.nn.Module) -> None:
    """Every weight a little, the tied head and embedding too."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.01)


def scores(model: Any, ids: list[int], ends: int) -> torch.Tensor:
    """Log-probabilities of the last `ends` ids, by the trainer."""
    return torch.tensor(prompt_scores(model, ids)[-ends:])


def test_ids_are_kept_and_their_logprobs_are_the_models(server, loaded, tmp_path):
    model, _ = loaded
    with policy_over(VLLMServer(Server(server)), loaded, tmp_path) as policy:
        episode = play(
            ToyGuess(), policy, ToyGuess().tasks("train", 2)[5], limits=LIMITS, seed=3
        )
    assert episode.error == ""
    assert len(episode.turns) > 1
    ids, mask = episode.token_ids, episode.action_mask
    found = torch.tensor(prompt_scores(model, ids))[torch.tensor(mask[1:])]
    said = torch.tensor([p for t in episode.turns for p in t.logprobs])
    assert (found - said).abs().max() < 1e-3


def assert_follows(policy: RemotePolicy, engine: VLLMServer, loaded: Any) -> None:
    """The engine has the model's weights, and samples from them."""
    model, tokenizer = loaded
    norms = norm_digests(model.named_parameters())
    (digests,) = engine.weight_digests()
    assert "head[0:1024]" in digests
    assert not differences(digests, norms, model.get_output_embeddings().weight)
    prompt = tokenizer.encode("The capital of France is")
    ids, logprobs, _ = policy.turn(prompt, room=4, seed=1)
    expected = scores(model, [*prompt, *ids], len(ids))
    assert (expected - torch.tensor(logprobs)).abs().max() < 1e-3


def test_new_weights_are_sampled_from_after_every_step(server, loaded, tmp_path):
    model, _ = loaded
    engine = VLLMServer(Server(server))
    with policy_over(engine, loaded, tmp_path) as policy:
        before = engine.weight_digests()
        moved(model)
        policy.sync_weights()
        assert engine.weight_digests() != before
        assert engine.version() == f"{tmp_path.name}-1"
        assert policy.version == 1
        assert_follows(policy, engine, loaded)
        assert [path.name for path in tmp_path.iterdir()] == ["version-000001"]


def test_states_of_the_server_are_reached(server, loaded, tmp_path):
    engine = VLLMServer(Server(server))
    with policy_over(engine, loaded, tmp_path) as policy:
        engine.pause()
        engine.resume()
        assert engine.workers() == 1
        engine.forget()
        # The CPU build takes both and does nothing.
        engine.sleep(keep_weights=True)
        engine.wake("weights")
        engine.wake("kv_cache")
        assert_follows(policy, engine, loaded)


def test_a_server_that_keeps_old_weights_is_found_out(server, loaded, tmp_path):
    class Lazy(VLLMServer):
        def load(self, folder: Path) -> None:
            return None

    model, _ = loaded
    with policy_over(VLLMServer(Server(server)), loaded, tmp_path / "a"):
        pass
    moved(model)
    with pytest.raises(StaleWeightsError, match="restart the engine"):
        policy_over(Lazy(Server(server)), loaded, tmp_path / "b")


def test_a_penalty_is_seen_in_the_draws(server, loaded, tmp_path, monkeypatch):
    penalised = {**sampling.COMPLETE_DISTRIBUTION, "repetition_penalty": 1.1}
    monkeypatch.setattr(vllm_server, "COMPLETE_DISTRIBUTION", penalised)
    with pytest.raises(OtherDistributionError, match="tokens that stood before"):
        policy_over(VLLMServer(Server(server)), loaded, tmp_path)


@pytest.mark.timeout(START_S)
def test_weights_go_from_memory_to_memory(model_folder, loaded, tmp_path):
    config = json.dumps({"backend": "gloo"})
    with serving(model_folder, tmp_path, "--weight-transfer-config", config) as url:
        engine = VLLMServer(Server(url))
        handover = ByTransfer(lambda server: GroupChannel(server, GlooGroup))
        with policy_over(engine, loaded, tmp_path / "w", handover) as policy:
            for _ in range(2):
                moved(loaded[0])
                policy.sync_weights()
                assert_follows(policy, engine, loaded)


def trained(model_folder: Path, url: str, runs: Path, **more: Any) -> TrainConfig:
    """Two steps whose episodes a server samples."""
    return TrainConfig(
        env="toy_guess",
        model=str(model_folder),
        max_steps=2,
        tasks_per_step=2,
        group_size=4,
        levels=(0,),
        limits=LIMITS,
        engine=EngineConfig("vllm_server", (url,)),
        warm_start=WarmStartConfig("never"),
        device="cpu",
        dtype="float32",
        runs=runs,
        **more,
    )


def assert_followed(run: Path) -> None:
    """Both steps were played to the end, with log-probabilities that are the trainer's."""
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    assert all(row["episodes/stop_error"] == 0 for row in rows)
    mismatch = [
        row["train/logprob_mismatch"] for row in rows if "train/logprob_mismatch" in row
    ]
    assert mismatch
    assert max(mismatch) < 1e-3


def test_a_run_trains_through_the_server(server, model_folder, tmp_path):
    assert_followed(train(trained(model_folder, server, tmp_path)))


@pytest.mark.timeout(START_S)
def test_the_server_samples_from_the_last_adapter_alone(
    adapter_server, loaded, tmp_path
):
    base, tokenizer = loaded
    torch.manual_seed(0)
    # Not the usual start, which changes nothing.
    options = PeftOptions(r=RANK, target_modules="all-linear", init_lora_weights=False)
    model: Any = get_peft_model(base, options).eval()
    prompt = tokenizer.encode("The capital of France is")
    engine = VLLMServer(Server(adapter_server))
    with policy_over(engine, (model, tokenizer), tmp_path) as policy:
        for version in range(3):
            if version:
                with torch.no_grad():
                    for weight in model.parameters():
                        if weight.requires_grad:
                            weight.mul_(1.5)
                policy.sync_weights()
            ids, logprobs, _ = policy.turn(prompt, room=6, seed=1)
            expected = scores(model, [*prompt, *ids], len(ids))
            assert (expected - torch.tensor(logprobs)).abs().max() < 1e-3
            asked = httpx2.get(f"{adapter_server}/models").json()["data"]
            served = [one["id"] for one in asked if one["parent"]]
            assert served == [f"scgrpo-version-{version:06d}"]


@pytest.mark.timeout(START_S)
def test_a_run_trains_adapters_through_the_server(
    adapter_server, model_folder, tmp_path
):
    run = train(
        trained(model_folder, adapter_server, tmp_path, lora=LoraConfig(rank=RANK))
    )
    assert_followed(run)


@pytest.mark.timeout(START_S)
@pytest.mark.parametrize("adapters", [False, True])
def test_the_engine_in_this_process_follows_all_weights_and_adapters(
    model_folder, tmp_path, adapters
):
    python = os.environ.get("VLLM_PYTHON")
    if not python:
        pytest.skip("VLLM_PYTHON is not set: make test-vllm sets it up")
    own = {"VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, IN_PROCESS, str(model_folder), str(tmp_path), str(int(adapters))],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=START_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, moved_far = json.loads(done.stdout.strip().rpartition("\n")[2])
    assert max(first, moved_far) < 1e-3


def test_a_server_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="VLLM_SERVER_DEV_MODE=1"):
        VLLMServer(
            Server(f"http://127.0.0.1:{free_port()}/v1", tries=1, patience_s=1.0)
        )


@pytest.mark.parametrize(("ids", "logprobs"), [([], []), ([1], []), ([1], [None])])
def test_a_turn_without_every_logprob_is_refused(ids, logprobs):
    with pytest.raises(ServerError):
        turn_of(ids, logprobs, cut=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "vllm_server"},
        {"kind": "hf", "servers": ("http://x/v1",)},
        {"options": {"a": 1}},
    ],
)
def test_settings_that_do_not_belong_together_are_refused(wrong):
    with pytest.raises(ValueError, match="engine"):
        EngineConfig(**wrong)
