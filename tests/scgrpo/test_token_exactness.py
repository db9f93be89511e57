"""No id is ever tokenised twice: what was sampled is what is fed, scored and learned from.

Over every environment, under SmolLM2's chat template and Qwen3's own, which renders a history
otherwise than it was written. The tokenizer merges bytes and the model is random, so that nearly
every turn would come back as other ids if its text were encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import scgrpo.models.packed as packed_module
from envs import registry
from envs.base import TextEnv
from envs.rollout import Limits, play
from envs.store import read_episodes, write_episodes
from envs.types import Episode, Stop, Verdict
from scgrpo.algorithms.presets import GRPO, SC_GRPO, Algorithm
from scgrpo.batch import collate
from scgrpo.models.packed import PackedSlots
from scgrpo.models.packing import completion_ids, prompt_ids
from scgrpo.models.paths import logits_head
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.update import PolicyUpdate

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LIMITS = Limits(turn_tokens=10, episode_tokens=4096)

every_env = pytest.mark.parametrize("name", registry.names())
both_templates = pytest.mark.parametrize("template", ["smollm2", "qwen3"])


def template_text(name: str) -> str:
    if name == "smollm2":
        return SMOLLM2
    trl = pytest.importorskip("trl", reason="Qwen3's template is taken from TRL")
    return (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    """A byte-level tokenizer whose merges come from Python text."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=500,
        special_tokens=SPECIAL,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator([Path(__file__).read_text()], trainer)
    return tokenizer


@pytest.fixture
def tokenizer(words: Tokenizer, template: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template_text(template),
        clean_up_tokenization_spaces=False,
    )


@pytest.fixture
def model() -> LlamaForCausalLM:
    """Random weights, so large that every token before it matters to the next."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            initializer_range=0.2,
            max_position_embeddings=4096,
        )
    ).eval()


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every id that the engine's forward passes read, in order."""
    seen: list[int] = []
    before = PackedSlots._last_hidden_states

    def spy(self: PackedSlots, ids: torch.Tensor, layout: Any) -> torch.Tensor:
        seen.extend(ids.tolist())
        return before(self, ids, layout)

    monkeypatch.setattr(PackedSlots, "_last_hidden_states", spy)
    return seen


def some_tasks(env: TextEnv) -> Iterator[Any]:
    for split in ("train", "id"):
        for level in (env.levels[0], env.levels[-1]):
            yield env.tasks(split, level)[0]


@pytest.mark.daily(1, per="name")
@every_env
@both_templates
def test_what_was_sampled_is_what_is_fed_and_learned_from(
    name: str,
    make_env: Callable[[str], TextEnv],
    tokenizer: PreTrainedTokenizerFast,
    model: LlamaForCausalLM,
    fed: list[int],
    tmp_path: Path,
):
    env = make_env(name)
    otherwise = 0
    with HFPolicy(
        model, tokenizer, slots=1, cache_tokens=LIMITS.episode_tokens
    ) as policy:
        chat = policy.chat
        for seed, task in enumerate(some_tasks(env)):
            policy.sync_weights()  # forgets the opening, so that it is fed again
            fed.clear()
            episode = play(env, policy, task, limits=LIMITS, seed=seed)
            assert episode.verdict is not None, episode.error
            ids, mask = episode.token_ids, episode.action_mask
            assert len(episode.turns) > 1
            # Nothing else was read, in no other order, up to the last token, which nothing follows.
            assert fed == ids[: len(fed)]
            assert len(fed) >= max(t for t, acts in enumerate(mask) if acts)
            # Each author's text is encoded once, and a turn's text is its ids'.
            assert (
                list(prompt_ids(episode))
                == chat.prompt(episode.messages, episode.tools)[1]
            )
            for segment in episode.turns:
                assert segment.text == chat.text(segment.token_ids)
                otherwise += chat.ids(segment.text) != list(segment.token_ids)
            # The trainer reads the same ids, also those that were stored.
            write_episodes(tmp_path / "episodes.jsonl", [episode])
            stored = list(read_episodes(tmp_path / "episodes.jsonl"))[-1]
            assert [*prompt_ids(stored), *completion_ids(stored)[0]] == ids
            assert collate([stored], [0], pad_id=0).token_ids[0].tolist() == ids
            assert completion_ids(stored)[1] == mask[len(prompt_ids(stored)) :]
    assert otherwise > 0


@both_templates
def test_rollout_and_trainer_agree_on_every_log_probability(
    tokenizer: PreTrainedTokenizerFast, model: LlamaForCausalLM
):
    episodes = played(tokenizer, model)
    head = logits_head(model)
    sampled, checked = torch.zeros(0), 0
    for episode in episodes:
        branch, mask = completion_ids(episode)
        states = predicting_states(model, prompt_ids(episode), [branch], [mask])
        ids = [i for turn in episode.turns for i in turn.token_ids]
        logprobs, _ = token_scores(head, states, torch.tensor(ids))
        sampled = torch.tensor([p for turn in episode.turns for p in turn.logprobs])
        torch.testing.assert_close(logprobs, sampled, rtol=0, atol=1e-4)
        checked += len(ids)
    assert checked > 200
    assert sampled.std() > 0.5


@both_templates
@pytest.mark.parametrize("algorithm", [GRPO, SC_GRPO], ids=lambda a: a.name)
def test_the_gradient_reaches_exactly_the_positions_that_predict_actions(
    tokenizer: PreTrainedTokenizerFast,
    model: LlamaForCausalLM,
    algorithm: Algorithm,
    monkeypatch: pytest.MonkeyPatch,
):
    episodes = played(tokenizer, model)
    kept: list[tuple[list[int], torch.Tensor]] = []
    before = packed_module.last_hidden_states

    def spy(model: Any, ids: torch.Tensor, layout: Any) -> torch.Tensor:
        states = before(model, ids, layout)
        if states.requires_grad:
            states.retain_grad()
            kept.append((ids.tolist(), states))
        return states

    monkeypatch.setattr(packed_module, "last_hidden_states", spy)
    with HFPolicy(model, tokenizer, slots=1) as policy:
        trainer = PolicyUpdate(
            model=model,
            chat=policy.chat,
            algorithm=algorithm,
            optimizer=MasterAdamW(model.parameters(), lr=1.0),
            rng=np.random.default_rng(0),
            max_tokens_per_pack=1,  # a row a pass, so that a pass is an episode
        )
        trainer.update(episodes, [i // 4 for i in range(len(episodes))], lr=0.0)
    by_ids = {tuple(e.token_ids): e.action_mask for e in episodes}
    assert len(kept) == len(by_ids) == len(episodes)
    for ids, states in kept:
        assert states.grad is not None
        moved = states.grad.abs().sum(-1) > 0
        assert moved.tolist() == [*by_ids[tuple(ids)][1:], False]


def played(
    tokenizer: PreTrainedTokenizerFast, model: LlamaForCausalLM
) -> list[Episode]:
    """Two groups of four, played side by side, with two successes in each."""
    with (
        HFPolicy(
            model, tokenizer, slots=8, cache_tokens=LIMITS.episode_tokens
        ) as policy,
        Rollouts("toy_guess", LIMITS, threads=8) as rollouts,
    ):
        tasks = rollouts.env.tasks("train", 2)[:2]
        episodes = rollouts(policy, tasks, group=4, seed=0)
    return [with_verdict(e, passed=i % 2 == 0) for i, e in enumerate(episodes)]


def with_verdict(episode: Episode, *, passed: bool) -> Episode:
    return replace(episode, stop=Stop.FINISHED, verdict=Verdict(passed, float(passed)))
