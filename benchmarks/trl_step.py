"""A training step against TRL's: GRPO, the same model, prompts, group and token budgets.

TRL has its fastest settings here: weights in the type of the forward pass, no activation
checkpointing, no reference model. Each of its steps is followed by one of ours, in one process.
"""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from benchmarks import Row, clocks, rate_rows
from benchmarks.trainer import ENV, GROUP, LEVEL, TASKS, Step, with_both_outcomes
from envs import registry
from envs.rollout import Limits
from scgrpo.algorithms.presets import GRPO
from scgrpo.models.load import default_device, default_dtype, load_model
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.chat import Chat
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.training.optimizer import MasterAdamW

ROUNDS = 5
TURN = 48


def main() -> list[Row]:
    """Needs the default model and TRL."""
    folder, dtype = resolve_model("auto"), default_dtype()
    model, tokenizer = load_model(folder, dtype=dtype)
    theirs, _ = load_model(folder, dtype=dtype)
    model.to(default_device())
    optimizer = MasterAdamW(model.parameters(), lr=1e-5)
    with HFPolicy(model, tokenizer, slots=TASKS * GROUP) as policy:
        texts, longest = openings(policy.chat)
        limits = Limits(turn_tokens=TURN, episode_tokens=longest + TURN)
        with Rollouts(ENV, limits) as play:
            step = Step(GRPO, policy, play, (), optimizer)

            def ours() -> int:
                step.recorded = with_both_outcomes(step.rollout())
                step.update()
                return sum(len(e.token_ids) for e in step.recorded)

            rates = rates_in_turn(theirs, tokenizer, texts, ours)
            # The first round warms both up.
            rounds = rates[1:]
    name = f"GRPO step, {TASKS} x {GROUP} episodes of {TURN} new tokens"
    return rate_rows("trl_step", name, rounds, "TRL's GRPOTrainer")


def openings(chat: Chat) -> tuple[list[str], int]:
    """The prompts of the tasks as text, and the tokens of the longest."""
    env: Any = registry.make(ENV)
    texts = []
    for task in env.unwrapped.tasks("train", LEVEL)[:TASKS]:
        options = {"split": task.split, "level": task.level, "task_id": task.id}
        _, info = env.reset(options=options)
        texts.append(chat.prompt(info["messages"], info["tools"])[0])
    return texts, max(len(chat.ids(text)) for text in texts)


def alternating(completions: list[str], **_: Any) -> list[float | None]:
    """Rewards of 0 and 1 in turn, so that every group has both outcomes."""
    return [float(i % 2) for i in range(len(completions))]


class StepTimer(TrainerCallback):
    """Times each of TRL's steps, then one of ours: tokens by seconds of either clock."""

    def __init__(self, ours: Callable[[], int]) -> None:
        self.ours = ours
        self.rounds = []
        self._begun = clocks()
        self._tokens_before = 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Notes the time and the tokens before TRL's step."""
        self._begun = clocks()
        self._tokens_before = state.num_input_tokens_seen

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Notes TRL's rate, makes a step of ours, and notes its rate."""
        tokens = state.num_input_tokens_seen - self._tokens_before
        theirs = tokens / (clocks() - self._begun)

        begun = clocks()
        tokens = self.ours()
        ours = tokens / (clocks() - begun)
        self.rounds.append((ours, theirs))


def rates_in_turn(
    model: Any, tokenizer: Any, prompts: list[str], ours: Callable[[], int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens per second of (ours, TRL's) in each round: TRL's step, then ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trl: Any = importlib.import_module("trl")
        from datasets import Dataset

        with tempfile.TemporaryDirectory() as out:
            config = trl.GRPOConfig(
                output_dir=out,
                loss_type="grpo",
                beta=0.0,
                learning_rate=1e-9,
                num_generations=GROUP,
                per_device_train_batch_size=TASKS * GROUP,
                max_completion_length=TURN,
                max_steps=ROUNDS + 1,
                gradient_checkpointing=False,
                bf16=False,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            )
            timer = StepTimer(ours)
            trainer = trl.GRPOTrainer(
                model=model,
                reward_funcs=alternating,
                args=config,
                train_dataset=Dataset.from_list(
                    [{"prompt": p} for p in prompts * (ROUNDS + 1)]
                ),
                processing_class=tokenizer,
                callbacks=[timer],
            )
            trainer.train()
    return timer.rounds
