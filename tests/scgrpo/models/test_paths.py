"""On either path a model samples and learns with the probabilities of its own forward pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    MistralConfig,
    MistralForCausalLM,
)

from envs.rollout import Limits
from scgrpo.models import paths
from scgrpo.models.attention import TreeLayout
from scgrpo.models.decoder import Feed
from scgrpo.models.families import FAMILIES, make_family
from scgrpo.models.kernels.flex import FlexTreeLayout
from scgrpo.models.kernels.varlen import VarlenTreeLayout
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path, logits_head
from scgrpo.models.plain import OwnCaches, RereadSlots
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.policies.hf import HFPolicy

PLAIN = {
    "bloom",
    "falcon-h1",
    "granite-hybrid",
    "lfm2",
    "llama-4",
    "nemotron",
    "nemotron-h",
    "qwen3-next",
    "qwen3.5",
    "qwen3.5-moe",
}
SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
LIMITS = Limits(turn_tokens=9, episode_tokens=4096)
OPENING = [{"role": "user", "content": "Guess a number from 1 to 100, please."}]
REPLIES = ["higher", "x", "That is lower than it; you have three guesses left."]


def played(policy: HFPolicy, seed: int) -> tuple[list[int], list[bool], list[float]]:
    """A conversation behind its prompt: ids, which of them were sampled, log-probabilities."""
    ids: list[int] = []
    mask: list[bool] = []
    logprobs: list[float] = []
    with policy.begin(OPENING, (), limits=LIMITS, seed=seed) as conversation:
        for reply in REPLIES:
            turn = conversation.generate()
            assert turn is not None
            answer = conversation.append(reply)
            ids += [*turn.token_ids, *answer.token_ids]
            mask += [True] * len(turn.token_ids) + [False] * len(answer.token_ids)
            logprobs += turn.logprobs
    return ids, mask, logprobs


def stock_logprobs(model: Any, prompt: list[int], branch: list[int]) -> torch.Tensor:
    """What transformers' own forward pass says of the branch."""
    logits = model(input_ids=torch.tensor([[*prompt, *branch]])).logits[0]
    log_p = logits.float().log_softmax(-1)[len(prompt) - 1 : -1]
    return log_p.gather(1, torch.tensor(branch)[:, None])[:, 0]


@pytest.mark.daily(14)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_samples_and_learns_with_its_own_probabilities(
    name: str, tmp_path: Path
):
    folder = make_family(name, tmp_path)
    model, tokenizer = load_model(folder)
    stock, _ = load_model(folder)
    path = choose_path(model)
    assert path.kind == ("plain" if name in PLAIN else "packed")
    assert path.gap < 1e-4

    with HFPolicy(model, tokenizer, slots=2, cache_tokens=4096) as policy:
        _, prompt = policy.chat.prompt(OPENING, ())
        # Side by side; the third finds the prompt cached.
        with ThreadPoolExecutor(2) as pool:
            episodes = list(pool.map(lambda seed: played(policy, seed), range(3)))
    sampled = torch.tensor([p for _, _, logprobs in episodes for p in logprobs])
    branches = [ids for ids, _, _ in episodes]
    masks = [mask for _, mask, _ in episodes]
    assert sampled.std() > 0.1

    own = torch.cat(
        [
            stock_logprobs(stock, prompt, ids)[torch.tensor(mask)]
            for ids, mask, _ in episodes
        ]
    )
    states = predicting_states(model, prompt, branches, masks)
    targets = [
        token
        for ids, mask, _ in episodes
        for token, acts in zip(ids, mask, strict=True)
        if acts
    ]
    scores = token_scores(logits_head(model), states, torch.tensor(targets))
    torch.testing.assert_close(sampled, own.detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(scores.logprobs, own, rtol=0, atol=1e-4)

    weight = torch.linspace(-1, 1, len(targets))
    (scores.logprobs * weight).sum().backward()
    (own * weight).sum().backward()
    for (parameter, mine), theirs in zip(
        model.named_parameters(), stock.parameters(), strict=True
    ):
        # Experts that no token chose have none, or zeros.
        wanted = torch.zeros_like(theirs) if theirs.grad is None else theirs.grad
        got = torch.zeros_like(mine) if mine.grad is None else mine.grad
        bound = 1e-3 * float(wanted.abs().max()) + 1e-5
        torch.testing.assert_close(got, wanted, rtol=0, atol=bound, msg=parameter)


def small(**options: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**{**SMALL, **options})).eval()


def test_the_choice_is_made_once_and_told_in_one_line(caplog):
    model = small()
    with caplog.at_level("INFO", logger="scgrpo.models.paths"):
        path = choose_path(model)
        assert choose_path(model) is path
    assert [record.getMessage() for record in caplog.records] == [
        f"LlamaForCausalLM: packed path, equal to its own forward pass within {path.gap:.1e} nats"
    ]


def test_a_plain_path_says_why_and_keeps_the_models_own_attention(caplog):
    family = FAMILIES["lfm2"].configuration(vocab_size=60)
    model = AutoModelForCausalLM.from_config(family).eval()
    own = model.config._attn_implementation
    path = choose_path(model)
    assert path.kind == "plain"
    assert path.reason.startswith(
        "since packed it differs from its own forward pass by"
    )
    assert path.reason.endswith("generation keeps the model's own cache")
    assert model.config._attn_implementation == own


def test_a_window_beyond_the_trials_tokens_is_tried_all_the_same(monkeypatch):
    """Without windows, packed attention equals the model on any row that is short enough."""
    from scgrpo.models import attention

    config = MistralConfig(**SMALL, sliding_window=4096)
    torch.manual_seed(0)
    assert choose_path(MistralForCausalLM(config).eval()).kind == "packed"
    assert config.sliding_window == 4096

    before = attention._causal
    monkeypatch.setattr(
        attention,
        "_causal",
        lambda past, length, _, device: before(past, length, None, device),
    )
    path = choose_path(MistralForCausalLM(config).eval())
    assert (path.kind, config.sliding_window) == ("plain", 4096)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_a_gpus_kernels_are_tried_in_turn(monkeypatch):
    kernels = paths._packed_decoders(torch.device("cuda"))
    names = [decoder.tree for decoder in kernels]
    assert names == [VarlenTreeLayout, FlexTreeLayout, TreeLayout]
    monkeypatch.setattr(paths, "_packed_decoders", lambda _: kernels)
    path = choose_path(small())
    # In fp32 the first one refuses, and the next one computes what the model does.
    assert (path.kind, path.decoder) == ("packed", kernels[1])
    assert path.gap < 1e-4


def test_a_cap_far_above_the_logits_is_seen():
    family = FAMILIES["gemma-2"].configuration(vocab_size=60)
    family.final_logit_softcapping = 1000.0
    model = AutoModelForCausalLM.from_config(family).eval()
    assert choose_path(model).maps_logits


def test_adapters_take_the_path_of_their_model():
    from peft import LoraConfig, get_peft_model

    base = small()
    model = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear"))
    assert choose_path(model) is choose_path(base)


def test_bf16_is_compared_within_its_rounding():
    assert choose_path(small().bfloat16()).kind == "packed"
    family = FAMILIES["granite-hybrid"].configuration(vocab_size=60)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(family).bfloat16().eval()
    assert choose_path(model).kind == "plain"


def test_a_model_that_sees_what_follows_is_refused():
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        initializer_range=0.3,
    )
    with pytest.raises(ValueError, match=r"BertLMHeadModel cannot be run.*causal"):
        choose_path(BertLMHeadModel(config).eval())


def test_a_model_without_logits_is_refused():
    with pytest.raises(ValueError, match="LlamaModel cannot be run|no output layer"):
        choose_path(LlamaModel(LlamaConfig(**SMALL)))


@torch.no_grad()
@pytest.mark.parametrize("name", ["qwen3.5", "granite-hybrid", "bloom"])
def test_own_caches_and_reading_again_give_the_same_states(name: str, tmp_path: Path):
    model, _ = load_model(make_family(name, tmp_path))
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, 200, (60,), generator=generator).tolist()
    kinds = [
        OwnCaches(model, 2),
        OwnCaches(model, 2, token_by_token=True),
        RereadSlots(model, 2),
    ]
    states: list[torch.Tensor] = []
    for slots in kinds:
        # Longer than a chunk of the recurrent layers, in pieces that cross its borders.
        parts = [slots.feed([Feed(0, 0, ids[:20])])]
        slots.copy(0, 1, 19)
        parts.append(slots.feed([Feed(0, 20, ids[20:55]), Feed(1, 19, ids[19:21])]))
        parts.append(slots.feed([Feed(1, 21, ids[21:40]), Feed(0, 55, ids[55:56])]))
        # Back to the prompt, in the slot itself and from one that is a copy.
        slots.copy(0, 0, 19)
        parts.append(slots.feed([Feed(0, 19, ids[30:50])]))
        slots.copy(1, 0, 19)
        parts.append(slots.feed([Feed(0, 19, ids[30:50])]))
        states.append(torch.cat(parts))
    for other in states[1:]:
        torch.testing.assert_close(other, states[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_copy_that_the_cache_does_not_hold_is_refused():
    slots = OwnCaches(small(), 2)
    slots.feed([Feed(0, 0, [3, 4, 5])])
    with pytest.raises(ValueError, match="slot 0 can give its first 2 tokens, not 1"):
        slots.copy(0, 1, 1)
