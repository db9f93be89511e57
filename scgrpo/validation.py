"""Evaluation during training: held-out and shifted tasks, the gap between them, the best step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from envs.rollout import Policy
from envs.types import Task
from scgrpo.config import ValidationConfig
from scgrpo.rollouts import Rollouts, SharedRollouts, success_rate
from scgrpo.training.causes import count_causes

__all__ = ["ERRORS", "ID", "PROMPTS_TOO_LONG", "validate"]

# Not below `validation/`, where every number is a share.
ERRORS = "validation_errors/"
PROMPTS_TOO_LONG = "validation_prompts_too_long"
ID = "validation/id"


def validate(
    rollouts: Rollouts | SharedRollouts,
    policy: Policy,
    config: ValidationConfig,
    level: int,
    *,
    seed: int,
) -> dict[str, float]:
    """Success on `id` and each `ood/<shift>` at a level, one episode a task, and `id` less `ood`.

    The same tasks and sampling seeds at every call. What has no task, or no verdict, is left out.
    Errored episodes of all splits are counted by cause, `validation_errors/CAUSE`, and those whose
    prompt left no room for a turn as `validation_prompts_too_long`, if there are any.
    """
    success: dict[str, float] = {}
    causes = Counter[str]()
    too_long = 0
    splits = [split for split in rollouts.env.splits if split != "train"]
    for place, split in enumerate(splits):
        # The sample depends on seed and split alone, so that steps can be compared.
        every_task = rollouts.env.tasks(split, level)
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


def _sample(tasks: Sequence[Task], count: int, seed: Sequence[int]) -> list[Task]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tasks)).tolist()
    return [tasks[place] for place in order[:count]]
