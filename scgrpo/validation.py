"""Evaluation during training: held-out and shifted tasks, the gap between them, the best step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from envs.rollout import Policy
from envs.types import Task
from scgrpo.config import ValidationConfig
from scgrpo.rollouts import Rollouts, SharedRollouts, success_rate

__all__ = ["ID", "validate"]

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
    """
    found: dict[str, float] = {}
    for place, split in enumerate(split for split in play.env.splits if split != "train"):
        tasks = _drawn(play.env.tasks(split, level), config.tasks, [seed, place])
        if not tasks:
            continue
        episodes = play(policy, tasks, group=1, seed=seed, description=f"validation, {split}")
        found[f"validation/{split}"] = success_rate(episodes)
    found = {name: value for name, value in found.items() if not math.isnan(value)}
    shifted = [value for name, value in found.items() if name != ID]
    if ID in found and shifted:
        found["validation/gap"] = found[ID] - sum(shifted) / len(shifted)
    return found


def _drawn(tasks: Sequence[Task], count: int, seed: Sequence[int]) -> list[Task]:
    order = np.random.default_rng(seed).permutation(len(tasks))
    return [tasks[int(i)] for i in order[:count]]
