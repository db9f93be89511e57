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

__all__ = ["ERRORS", "ID", "validate"]

# Not below `validation/`, where every number is a share.
ERRORS = "validation_errors/"
ID = "validation/id"


def validate(
    play: Rollouts | SharedRollouts,
    policy: Policy,
    config: ValidationConfig,
    level: int,
    *,
    seed: int,
) -> dict[str, float]:
    """Success on `id` and each `ood/<shift>` at a level, one episode a task, and `id` less `ood`.

    The same tasks and sampling seeds at every call. What has no task, or no verdict, is left out.
    Errored episodes of all splits are counted by cause, `validation_errors/CAUSE`, where there
    are any.
    """
    found: dict[str, float] = {}
    causes = Counter[str]()
    for place, split in enumerate(
        split for split in play.env.splits if split != "train"
    ):
        tasks = _drawn(play.env.tasks(split, level), config.tasks, [seed, place])
        if not tasks:
            continue
        episodes = play(
            policy, tasks, group=1, seed=seed, description=f"validation, {split}"
        )
        found[f"validation/{split}"] = success_rate(episodes)
        causes.update(count_causes(episodes))
    found = {name: value for name, value in found.items() if not math.isnan(value)}
    shifted = [value for name, value in found.items() if name != ID]
    if ID in found and shifted:
        found["validation/gap"] = found[ID] - sum(shifted) / len(shifted)
    return found | {f"{ERRORS}{cause}": float(count) for cause, count in causes.items()}


def _drawn(tasks: Sequence[Task], count: int, seed: Sequence[int]) -> list[Task]:
    order = np.random.default_rng(seed).permutation(len(tasks))
    return [tasks[int(i)] for i in order[:count]]
