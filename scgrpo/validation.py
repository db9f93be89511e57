"""Evaluation during training: held-out and shifted tasks, the gap between them, the best step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from envs.base import TextEnv
from envs.mixtures.env import Mixture
from envs.rollout import Policy
from envs.types import Task
from scgrpo.config import ValidationConfig
from scgrpo.rollouts import Rollouts, SharedRollouts, success_rate
from scgrpo.training.causes import count_causes

__all__ = ["ERRORS", "ID", "PROMPTS_TOO_LONG", "merge_parts", "validate"]

# Not below `validation/`, where every number is a share.
ERRORS = "validation_errors/"
PROMPTS_TOO_LONG = "validation_prompts_too_long"
SHARES = "validation/"
ID = "validation/id"


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


def _tasks(env: TextEnv, part: int | None, split: str, level: int) -> Sequence[Task]:
    if part is None:
        return env.tasks(split, level)
    assert isinstance(env, Mixture)
    return env.tasks_of(part, split, level)


def _sample(tasks: Sequence[Task], count: int, seed: Sequence[int]) -> list[Task]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tasks)).tolist()
    return [tasks[place] for place in order[:count]]
