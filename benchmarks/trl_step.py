"""A training step against TRL's: GRPO at equal model, tokens, precision and threads.

| equal | how |
|---|---|
| model | the same weights, loaded twice |
| tokens | the same prompts, one turn of at most `TURN` tokens at temperature 1, to the end token; |
| | nearly all turns go to the limit, and a run whose tokens differ by over 10 % is refused |
| precision | forward and backward in the same type; ours has fp32 master weights besides |
| threads | one process, so the same pool of threads |

TRL has its fastest settings here: weights in the type of the forward pass, no activation
checkpointing, no reference model. Each of its steps is followed by one of ours.
"""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from benchmarks import Goal, Row, clock_rows, clocks
from benchmarks.tools.step import Step, with_both_outcomes
from benchmarks.tools.story import STORY
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
GOAL = Goal(">=", 5.0)
TASKS, GROUP = 2, 8
TURN = 48
EPISODE_TOKENS = 640
TOLERANCE = 0.1
"""How much the tokens of both sides may differ: they sample different turns."""


def main(rounds: int | None = None) -> list[Row]:
    """Needs the default model and TRL."""
    return measure(resolve_model("auto"), default_dtype(), rounds or ROUNDS)


def measure(folder: Path, dtype: torch.dtype, rounds: int) -> list[Row]:
    """Makes a step of TRL's and one of ours, round after round."""
    model, tokenizer = load_model(folder, dtype=dtype)
    theirs, _ = load_model(folder, dtype=dtype)
    model.to(default_device())
    optimizer = MasterAdamW(model.parameters(), lr=1e-5)
    limits = Limits(turn_tokens=TURN, episode_tokens=EPISODE_TOKENS)
    with (
        HFPolicy(
            model, tokenizer, slots=TASKS * GROUP, cache_tokens=EPISODE_TOKENS
        ) as policy,
        Rollouts(STORY, limits) as play,
    ):
        tasks = play.env.tasks("train", 1)[:TASKS]
        step = Step(GRPO, policy, play, tasks, GROUP, EPISODE_TOKENS, optimizer)
        prompts = [prompt_of(task.id, policy.chat, tokenizer) for task in tasks]

        def ours(seed: int) -> int:
            step.recorded = with_both_outcomes(step.rollout(seed))
            step.update()
            return sum(len(e.token_ids) for e in step.recorded)

        timer = in_turn(theirs, tokenizer, prompts, ours, rounds + 1)

    # The first round warms both up.
    times, tokens = timer.times[1:], timer.tokens[1:]
    our_tokens, their_tokens = np.mean(tokens, axis=0)
    if abs(our_tokens / their_tokens - 1) > TOLERANCE:
        raise RuntimeError(
            f"got {our_tokens:.0f} tokens a step of ours and {their_tokens:.0f} of TRL's, expected "
            f"them to differ by at most {TOLERANCE:.0%}"
        )
    return clock_rows(
        "trl_step",
        f"GRPO step, {TASKS} x {GROUP} episodes, {our_tokens:.0f} tokens"
        f" (TRL: {their_tokens:.0f}), {str(dtype).removeprefix('torch.')}",
        "tokens/s",
        times,
        f"GRPOTrainer of TRL {version('trl')}",
        amounts=tokens,
        goal=GOAL,
    )


def prompt_of(task_id: str, chat: Chat, tokenizer: Any) -> str:
    """A task's prompt as text. Raises RuntimeError if TRL would read other tokens than we do."""
    env: Any = registry.make(STORY)
    options = {"split": "train", "level": 1, "task_id": task_id}
    _, info = env.reset(options=options)
    text, ids = chat.prompt(info["messages"], info["tools"])
    if tokenizer(text)["input_ids"] != list(ids):
        raise RuntimeError(f"got other tokens of {text!r} from the tokenizer alone")
    return text


def alternating(completions: list[str], **_: Any) -> list[float | None]:
    """Rewards of 0 and 1 in turn, so that every group has both outcomes."""
    return [float(i % 2) for i in range(len(completions))]


class StepTimer(TrainerCallback):
    """Times each of TRL's steps, then one of ours, which gets the number of the round.

    | attribute | meaning |
    |---|---|
    | times | seconds of (ours, TRL's) in each round, by each of `CLOCKS` |
    | tokens | that they took, prompts included |
    """

    def __init__(self, ours: Callable[[int], int]) -> None:
        self.ours = ours
        self.times: list[tuple[np.ndarray, np.ndarray]] = []
        self.tokens: list[tuple[float, float]] = []
        self._begun = clocks()
        self._tokens_before = 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Notes the time and the tokens before TRL's step."""
        self._begun = clocks()
        self._tokens_before = state.num_input_tokens_seen

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Notes what TRL's step took, makes a step of ours, and notes what that took."""
        theirs = clocks() - self._begun
        their_tokens = state.num_input_tokens_seen - self._tokens_before

        begun = clocks()
        tokens = self.ours(len(self.times))
        self.times.append((clocks() - begun, theirs))
        self.tokens.append((tokens, their_tokens))


def in_turn(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    ours: Callable[[int], int],
    rounds: int,
) -> StepTimer:
    """Makes a step of TRL's and one of ours, round after round.

    Raises RuntimeError if TRL trains in another type than the model's.
    """
    dtype = model.dtype
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
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                num_generations=GROUP,
                per_device_train_batch_size=TASKS * GROUP,
                max_completion_length=TURN,
                max_steps=rounds,
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
                    [{"prompt": p} for p in [*prompts] * rounds]
                ),
                processing_class=tokenizer,
                callbacks=[timer],
            )
            trainer.train()
    if trainer.model.dtype != dtype:
        raise RuntimeError(f"got TRL's step in {trainer.model.dtype}, expected {dtype}")
    return timer
