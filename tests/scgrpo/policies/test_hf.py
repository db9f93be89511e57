"""Sampling is token-exact: every recorded id was fed, and every log-probability is the model's."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from envs.rollout import Limits
from envs.types import Segment
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.hf import HFPolicy, PolicyClosed

LIMITS = Limits(turn_tokens=12, episode_tokens=160)
OPENINGS = [
    [{"role": "user", "content": "Guess 4-6."}],
    [{"role": "system", "content": "Guess."}, {"role": "user", "content": "1-3"}],
    [{"role": "user", "content": "?"}],
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    folder = make_tiny(
        tmp_path_factory.mktemp("models") / "t", hidden=16, layers=1, heads=2
    )
    return load_model(folder)[1]


def models(seed: int = 0) -> tuple[LlamaForCausalLM, LlamaForCausalLM]:
    """The same weights for the policy and for transformers' own forward pass."""
    config = {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
    }
    torch.manual_seed(seed)
    own = LlamaForCausalLM(LlamaConfig(**config)).eval()
    model = LlamaForCausalLM(LlamaConfig(**config)).eval()
    model.load_state_dict(own.state_dict())
    # Before tests replace the output layer by one that counts its calls.
    choose_path(model)
    return model, own


@pytest.fixture
def make(tokenizer) -> Iterator[Callable[..., HFPolicy]]:
    opened: list[HFPolicy] = []

    def policy(model: Any, **options: Any) -> HFPolicy:
        opened.append(HFPolicy(model, tokenizer, **{"cache_tokens": 160, **options}))
        return opened[-1]

    yield policy
    for one in opened:
        one.close()


def converse(policy: HFPolicy, opening, seed: int, turns: int = 4) -> list[Segment]:
    """A conversation whose replies vary in length with the seed."""
    with policy.begin(opening, (), limits=LIMITS, seed=seed) as conversation:
        segments = [conversation.prompt]
        for number in range(turns):
            turn = conversation.generate()
            if turn is None:
                return segments
            segments.append(turn)
            segments.append(conversation.append("no " * ((seed + number) % 5)))
    return segments


@torch.no_grad()
def check(
    segments: list[Segment], own: LlamaForCausalLM, *, greedy: bool = False
) -> int:
    """Holds every turn against one full forward pass over all ids; returns the tokens checked."""
    ids = [i for s in segments for i in s.token_ids]
    logprobs = own(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    place = checked = 0
    for segment in segments:
        if segment.source == "policy":
            before = logprobs[place - 1 : place - 1 + len(segment.token_ids)]
            sampled = torch.tensor(segment.token_ids)
            wanted = before.gather(1, sampled[:, None])[:, 0]
            torch.testing.assert_close(
                torch.tensor(segment.logprobs), wanted, rtol=1e-4, atol=1e-4
            )
            if greedy:
                assert before.argmax(-1).tolist() == list(segment.token_ids)
            checked += len(sampled)
        place += len(segment.token_ids)
    return checked


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_many_conversations_equal_full_forward_passes(make, temperature: float):
    model, own = models()
    policy = make(model, slots=5, temperature=temperature)
    # Twelve conversations of three openings on five slots: shared, copied and reused openings.
    jobs = [(OPENINGS[i % 3], i) for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        done = list(pool.map(lambda job: converse(policy, *job), jobs))
    tokens = sum(check(segments, own, greedy=temperature == 0.0) for segments in done)
    assert tokens > 200
    assert {
        len(s.token_ids) for segments in done for s in segments if s.source == "env"
    } != {0}


def test_a_copied_opening_gives_what_computing_it_gives(make):
    model, own = models()
    policy = make(model, slots=3)
    with (
        policy.begin(OPENINGS[0], (), limits=LIMITS, seed=1) as first,
        policy.begin(OPENINGS[0], (), limits=LIMITS, seed=1) as second,
    ):
        one, two = first.generate(), second.generate()
        again = second.append("no")
        three = second.generate()
    assert one.token_ids == two.token_ids
    assert one.logprobs == pytest.approx(two.logprobs, abs=1e-5)
    check([first.prompt, one], own)
    check([second.prompt, two, again, three], own)


def test_openings_are_forgotten_when_the_weights_change(make):
    model, _ = models()
    policy = make(model, slots=2)
    converse(policy, OPENINGS[0], 1, turns=1)
    _, other = models(seed=5)
    model.load_state_dict(other.state_dict())
    policy.sync_weights()
    assert policy.version == 1
    check(converse(policy, OPENINGS[0], 1), other)


def test_a_policy_that_slept_samples_as_before(make):
    model, stock = models()
    policy = make(model, slots=2)
    converse(policy, OPENINGS[0], 1, turns=1)
    policy.sleep()
    assert not policy._slots._cache._layers
    check(converse(policy, OPENINGS[0], 1), stock)


def test_the_weights_may_not_change_under_a_conversation(make):
    policy = make(models()[0])
    with policy.begin(OPENINGS[0], (), limits=LIMITS, seed=0):
        with pytest.raises(RuntimeError, match="while episodes are running"):
            policy.sync_weights()
        with pytest.raises(RuntimeError, match="while episodes are running"):
            policy.sleep()
        assert policy.version == 0
    policy.sync_weights()


@torch.no_grad()
def test_a_conversation_goes_on_with_new_weights_behind_what_it_has_cached(make):
    model, old = models()
    _, new = models(seed=5)
    policy = make(model, slots=2)
    with policy.begin(OPENINGS[0], (), limits=LIMITS, seed=0) as conversation:
        first = conversation.generate()
        with policy.writing_weights():
            model.load_state_dict(new.state_dict())
            assert policy.version == 0
        assert policy.version == 1
        reply = conversation.append("no")
        second = conversation.generate()

    # The last token of the first turn has not been fed: it is read by the new weights.
    prompt = [*conversation.prompt.token_ids, *first.token_ids]
    own = old(input_ids=torch.tensor([prompt[:-1]]), use_cache=True)
    rest = [prompt[-1], *reply.token_ids, *second.token_ids]
    logits = new(
        input_ids=torch.tensor([rest]), past_key_values=own.past_key_values
    ).logits[0]
    logprobs = logits.log_softmax(-1)[-len(second.token_ids) - 1 : -1]
    sampled = logprobs.gather(1, torch.tensor(second.token_ids)[:, None])[:, 0]
    torch.testing.assert_close(
        torch.tensor(second.logprobs), sampled, rtol=1e-4, atol=1e-4
    )
    check([conversation.prompt, first], old)
    # Who comes later reads the same opening with the new weights alone.
    assert check(converse(policy, OPENINGS[0], 1), new)


def test_nothing_is_sampled_while_weights_are_written(make):
    policy = make(models()[0], slots=3)
    feed, steps, inside = policy._slots.feed, [0], [False]

    def slow(feeds):
        inside[0] = True
        time.sleep(0.005)
        states = feed(feeds)
        steps[0] += 1
        inside[0] = False
        return states

    policy._slots.feed = slow
    stopped = threading.Event()

    def talk(seed: int) -> None:
        while not stopped.is_set():
            converse(policy, OPENINGS[seed % 3], seed)

    with ThreadPoolExecutor(3) as pool:
        talks = [pool.submit(talk, seed) for seed in range(3)]
        try:
            for version in range(5):
                before = steps[0]
                while steps[0] == before:
                    time.sleep(0.001)
                with policy.writing_weights():
                    began_with = steps[0]
                    assert not inside[0]
                    time.sleep(0.05)
                    assert steps[0] == began_with
                    assert policy.version == version
        finally:
            stopped.set()
        for one in talks:
            one.result(timeout=30)
    assert policy.version == 5


def test_weights_can_be_written_after_the_engine_broke(make):
    model, _ = models()
    policy = make(model)
    policy._slots.feed = lambda feeds: 1 / 0
    with (
        policy.begin(OPENINGS[0], (), limits=LIMITS, seed=0) as conversation,
        pytest.raises(PolicyClosed),
    ):
        conversation.generate()
    with policy.writing_weights():
        assert policy.version == 0
    assert policy.version == 1


def test_the_same_seed_gives_the_same_tokens_and_another_one_others(make):
    policy = make(models()[0])
    ids = [
        [s.token_ids for s in converse(policy, OPENINGS[0], seed)] for seed in (3, 3, 4)
    ]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_sampled_frequencies_are_the_models_probabilities(make):
    model, own = models()
    policy = make(model, slots=64)
    limits = Limits(turn_tokens=1, episode_tokens=160)

    def first_token(seed: int) -> int:
        with policy.begin(OPENINGS[2], (), limits=limits, seed=seed) as conversation:
            return conversation.generate().token_ids[0]

    with ThreadPoolExecutor(64) as pool:
        counts = torch.bincount(
            torch.tensor(list(pool.map(first_token, range(1500)))), minlength=99
        )
    ids = policy.chat.prompt(OPENINGS[2], ())[1]
    with torch.no_grad():
        wanted = own(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)
    # Total variation of 1500 draws from about ten likely tokens: about 0.03 by chance.
    assert 0.5 * (counts / 1500 - wanted).abs().sum() < 0.12


class Script(nn.Module):
    """An output layer that says given ids, one a call, whatever the model computed."""

    def __init__(self, ids: list[int]) -> None:
        super().__init__()
        self.ids = list(ids)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(states), 99)
        logits[:, self.ids.pop(0)] = 50.0
        return logits


def scripted(make, tokenizer, text: str, *tail: int) -> HFPolicy:
    model, _ = models()
    model.set_output_embeddings(Script([*tokenizer.encode(text), *tail]))
    return make(model)


def test_a_turn_stops_where_its_tool_call_is_closed(make, tokenizer):
    policy = scripted(make, tokenizer, "<tool_call>{}</tool_call>tool says ok")
    limits = Limits(turn_tokens=60, episode_tokens=160)
    with policy.begin(OPENINGS[2], (), limits=limits, seed=0) as conversation:
        turn = conversation.generate()
        reply = conversation.append("ok")
    assert turn.text == "<tool_call>{}</tool_call>"
    assert not turn.cut
    # The policy did not sample the end of its turn, so the environment's side feeds it.
    assert reply.token_ids[0] == policy.chat.end_id


def test_a_call_closed_with_the_last_token_of_the_budget_is_not_cut(make, tokenizer):
    call = "<tool_call>{}</tool_call>"
    policy = scripted(make, tokenizer, call + "x")
    limits = Limits(turn_tokens=len(call), episode_tokens=160)
    with policy.begin(OPENINGS[2], (), limits=limits, seed=0) as conversation:
        turn = conversation.generate()
    assert turn.text == call
    assert not turn.cut


def test_a_cut_turn_gets_its_end_token_from_the_environment(make, tokenizer):
    policy = scripted(make, tokenizer, "abcdefgh")
    limits = Limits(turn_tokens=5, episode_tokens=160)
    with policy.begin(OPENINGS[2], (), limits=limits, seed=0) as conversation:
        turn = conversation.generate()
        reply = conversation.append("no")
    assert (turn.text, turn.cut) == ("abcde", True)
    assert len(turn.logprobs) == 5
    assert list(reply.token_ids) == policy.chat.reply("no", ended=False)
    assert reply.token_ids[0] == policy.chat.end_id
    assert reply.logprobs == ()


def test_an_end_of_text_ends_the_turn_and_the_template_still_gets_its_own_end(
    make, tokenizer
):
    tokenizer = load_with_eos(tokenizer, "<|endoftext|>")
    model, _ = models()
    model.set_output_embeddings(
        Script([*tokenizer.encode("ab"), tokenizer.eos_token_id, 40])
    )
    with (
        HFPolicy(model, tokenizer, cache_tokens=160) as policy,
        policy.begin(OPENINGS[2], (), limits=LIMITS, seed=0) as conversation,
    ):
        turn = conversation.generate()
        reply = conversation.append("no")
    assert (turn.text, turn.cut) == ("ab", False)
    assert turn.token_ids[-1] == tokenizer.eos_token_id != policy.chat.end_id
    assert reply.token_ids[0] == policy.chat.end_id


def load_with_eos(tokenizer, token: str):
    import copy

    other = copy.deepcopy(tokenizer)
    other.eos_token = token
    return other


def test_a_spent_budget_gives_no_turn(make):
    policy = make(models()[0])
    opening = policy.chat.prompt(OPENINGS[0], ())[1]
    limits = Limits(turn_tokens=4, episode_tokens=len(opening) + 3)
    with policy.begin(OPENINGS[0], (), limits=limits, seed=0) as conversation:
        turn = conversation.generate()
        assert len(turn.token_ids) <= 3
        conversation.append("no")
        assert conversation.generate() is None
    shorter = Limits(turn_tokens=4, episode_tokens=len(opening))
    with policy.begin(OPENINGS[0], (), limits=shorter, seed=0) as conversation:
        assert conversation.generate() is None


def test_more_conversations_than_slots_wait_for_one(make):
    model, own = models()
    policy = make(model, slots=1)
    held = policy.begin(OPENINGS[0], (), limits=LIMITS, seed=0)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(converse, policy, OPENINGS[i], i) for i in range(3)]
        held.generate()
        assert not any(future.done() for future in waiting)
        held.__exit__(None, None, None)
        for future in waiting:
            check(future.result(timeout=30), own)


class Gate(nn.Module):
    """An output layer that waits for a signal, then goes on or breaks."""

    def __init__(self, head: nn.Module, error: Exception | None = None) -> None:
        super().__init__()
        self.head, self.error = head, error
        self.reached, self.go_on = threading.Event(), threading.Event()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        self.reached.set()
        assert self.go_on.wait(30)
        if self.error is not None:
            raise self.error
        return self.head(states)


def gated(error: Exception | None = None) -> tuple[LlamaForCausalLM, Gate]:
    model, _ = models()
    gate = Gate(model.get_output_embeddings(), error)
    model.set_output_embeddings(gate)
    return model, gate


def test_closing_ends_everyone_who_waits_for_a_turn_or_a_slot(make):
    model, gate = gated()
    policy = make(model, slots=2)
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(converse, policy, OPENINGS[i % 3], i) for i in range(5)]
        assert gate.reached.wait(30)
        closing = pool.submit(policy.close)
        gate.go_on.set()
        closing.result(timeout=30)
        for future in waiting:
            with pytest.raises(PolicyClosed, match="gives no turns: it was closed"):
                future.result(timeout=30)
    policy.close()
    with pytest.raises(PolicyClosed, match="it was closed"):
        policy.begin(OPENINGS[0], (), limits=LIMITS, seed=0)


def test_a_broken_engine_reaches_those_who_wait_and_those_who_come(make):
    model, gate = gated(RuntimeError("CUDA error: device lost"))
    policy = make(model, slots=2)
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(converse, policy, OPENINGS[i % 3], i) for i in range(5)]
        assert gate.reached.wait(30)
        gate.go_on.set()
        for future in waiting:
            with pytest.raises(
                PolicyClosed, match="its engine broke: CUDA error: device lost"
            ):
                future.result(timeout=30)
    with pytest.raises(PolicyClosed, match="device lost"):
        policy.begin(OPENINGS[0], (), limits=LIMITS, seed=0)


@pytest.mark.parametrize(
    "error", [KeyError("layer"), TypeError("layer"), AttributeError("layer")]
)
def test_whatever_breaks_the_engine_is_named(make, error: Exception):
    model, gate = gated(error)
    policy = make(model)
    gate.go_on.set()
    message = rf"its engine broke: '?layer'? \({type(error).__name__}\)"
    with ThreadPoolExecutor(1) as pool, pytest.raises(PolicyClosed, match=message):
        pool.submit(converse, policy, OPENINGS[0], 0).result(timeout=30)


def test_limits_past_the_cache_are_refused(make):
    policy = make(models()[0], cache_tokens=100)
    with pytest.raises(
        ValueError, match="160 tokens but the cache holds 100; raise cache_tokens"
    ):
        policy.begin(OPENINGS[0], (), limits=LIMITS, seed=0)


@pytest.mark.parametrize("temperature", [-1.0, 0.5, 2.0])
def test_a_temperature_that_would_bias_training_is_refused(make, temperature: float):
    with pytest.raises(
        ValueError, match=r"temperature must be 1 \(sample\) or 0 \(greedy\)"
    ):
        make(models()[0], temperature=temperature)


def test_a_saved_model_plays_too(tmp_path: Path):
    folder = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    model, tokenizer = load_model(folder)
    own, _ = load_model(folder)
    with HFPolicy(model, tokenizer, cache_tokens=160, temperature=0.0) as policy:
        check(converse(policy, OPENINGS[1], 0), own, greedy=True)


def test_a_history_of_ids_is_gone_on_with_as_it_is(make):
    """What others rendered is fed id for id, and more may follow between two turns."""
    model, own = models()
    policy = make(model, slots=1)
    before = converse(policy, OPENINGS[1], seed=3, turns=2)
    ids = [i for segment in before for i in segment.token_ids]
    with policy.resume(ids, (), limits=LIMITS, seed=4) as conversation:
        turns = [conversation.generate(max_tokens=5)]
        reply = Segment("env", "", tuple(policy.chat.reply("so", ended=False)))
        conversation.extend(reply.token_ids)
        turns.append(conversation.generate())
    first, second = turns
    assert first is not None
    assert second is not None
    assert len(first.token_ids) <= 5
    prompt = Segment("prompt", "", tuple(ids))
    assert check([prompt, first, reply, second], own) >= 2
