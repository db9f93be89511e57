"""Evaluation during training: held-out and shifted tasks, the gap between them, the best step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from envs.base import TextEnv
from envs.mixtures.env import Mixture
from envs.rollout import Policy
from envs.types import Task
from scgrpo.config import TrainConfig, ValidationConfig
from scgrpo.distributed.ranks import Ranks
from scgrpo.rollouts import Rollouts, SharedRollouts, success_rate
from scgrpo.runs.log import VALIDATION, read_metrics
from scgrpo.training.causes import count_causes
from scgrpo.training.error_monitor import describe_errors
from scgrpo.training.task_draw import TaskDraw

__all__ = ["Validation", "describe_validation", "merge_parts", "validate"]

# Not below `validation/`, where every number is a share.
ERRORS = "validation_errors/"
PROMPTS_TOO_LONG = "validation_prompts_too_long"
SHARES = "validation/"
ID = "validation/id"


class Validation:
    """Measures held-out success every `validation.every` steps, and knows which was the best.

    `step` is the last finished step. All ranks must make it: what a resumed run has measured, which
    only rank 0 reads, they all leave out.
    """

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        rollouts: SharedRollouts,
        policy: Policy,
        levels: TaskDraw,
        *,
        step: int,
        ranks: Ranks,
    ) -> None:
        self._config = config
        self._rollouts = rollouts
        self._policy = policy
        self._levels = levels
        self._success = ranks.broadcast_object(lambda: _past_success(run, step))

    def due(self, step: int) -> bool:
        """Whether a finished step is one to measure, and has not been."""
        every = self._config.validation.every
        return bool(every and step and step % every == 0 and step not in self._success)

    def measure(self, step: int) -> dict[str, float]:
        """What `validate` says at the levels of now, of a mixture for each part."""
        config = self._config
        values: list[tuple[str, dict[str, float]]] = []
        for name, part, level in self._levels.validation_levels():
            of_part = validate(
                self._rollouts,
                self._policy,
                config.validation,
                level,
                seed=config.seed,
                part=part,
            )
            values.append((name, of_part))
        merged = merge_parts(values)
        self._success[step] = merged.get(ID)
        return merged

    @property
    def best_step(self) -> int:
        """The first step with the most held-out success; 0 if none has a verdict."""
        rates = {step: rate for step, rate in self._success.items() if rate is not None}
        return max(rates, key=rates.__getitem__, default=0)


def _past_success(run: Path, last_step: int) -> dict[int, float | None]:
    """Success on `id` by step; None for a step in which no held-out task had a verdict."""
    rows = read_metrics(run / VALIDATION)
    # Rows of steps that were lost with their checkpoint will be measured again.
    return {row["step"]: row.get(ID) for row in rows if row["step"] <= last_step}


def validate(
    rollouts: Rollouts | SharedRollouts,
    policy: Policy,
    config: ValidationConfig,
    level: int,
    *,
    seed: int,
    part: int | None = None,
) -> dict[str, float]:
    """Success on `id` and each `ood/<shift>` at a level, one episode a task, and `id` less `ood`.

    `part` is the number of one part of a mixture. The same tasks and sampling seeds at every call.
    What has no task, or no verdict, is left out.
    Errored episodes of all splits are counted by cause, `validation_errors/CAUSE`, and those whose
    prompt left no room for a turn as `validation_prompts_too_long`, if there are any.
    """
    success: dict[str, float] = {}
    causes = Counter[str]()
    too_long = 0
    splits = [split for split in rollouts.env.splits if split != "train"]
    for place, split in enumerate(splits):
        # The sample depends on seed and split alone, so that steps can be compared.
        every_task = _tasks(rollouts.env, part, split, level)
        tasks = _sample(every_task, config.tasks, [seed, place])
        if not tasks:
            continue

        episodes = rollouts(
            policy,
            tasks,
            group=1,
            seed=seed,
            description=f"validation, {split}",
        )
        causes.update(count_causes(episodes))
        too_long += sum(e.prompt_too_long for e in episodes)
        rate = success_rate(episodes)
        if not math.isnan(rate):
            success[f"validation/{split}"] = rate

    shifted = [value for name, value in success.items() if name != ID]
    if ID in success and shifted:
        mean_shifted = sum(shifted) / len(shifted)
        success["validation/gap"] = success[ID] - mean_shifted
    errors = {f"{ERRORS}{cause}": float(count) for cause, count in causes.items()}
    if too_long:
        success[PROMPTS_TOO_LONG] = float(too_long)
    return success | errors


def merge_parts(values: Sequence[tuple[str, dict[str, float]]]) -> dict[str, float]:
    """What `validate` says of each part, by the part's name, as one.

    `validation/PART/SPLIT` of each, and `validation/SPLIT` as the mean over the parts that have it;
    counts are sums. Of a single environment its own values.
    """
    if len(values) == 1:
        return values[0][1]
    merged: dict[str, list[float]] = {}
    parts: dict[str, float] = {}
    for name, of_part in values:
        for key, value in of_part.items():
            merged.setdefault(key, []).append(value)
            if key.startswith(SHARES):
                parts[f"{SHARES}{name}/{key.removeprefix(SHARES)}"] = value
    means = {
        key: sum(numbers) / (len(numbers) if key.startswith(SHARES) else 1)
        for key, numbers in merged.items()
    }
    return means | parts


def describe_validation(values: Mapping[str, float]) -> str:
    """What `validate` measured, in a line."""
    shares: list[str] = []
    for name, value in values.items():
        if name.startswith(SHARES):
            shares.append(f"{name} {100 * value:.1f} %")
    line = ", ".join(shares) or "no held-out task has a verdict"
    if too_long := values.get(PROMPTS_TOO_LONG):
        line += f", prompts too long: {too_long:.0f}"
    if causes := describe_errors(values, ERRORS):
        line += f", errored: {causes}"
    return line


def _tasks(env: TextEnv, part: int | None, split: str, level: int) -> Sequence[Task]:
    if part is None:
        return env.tasks(split, level)
    assert isinstance(env, Mixture)
    return env.tasks_of(part, split, level)


def _sample(tasks: Sequence[Task], count: int, seed: Sequence[int]) -> list[Task]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tasks)).tolist()
    return [tasks[place] for place in order[:count]]
