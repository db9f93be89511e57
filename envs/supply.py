"""Tasks by the thousand: drawn from a seed, no problem twice, splits apart by family."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from random import Random

from envs.types import Task

__all__ = ["OTHER_TASKS", "TRAIN_TASKS", "belongs", "owner", "supply"]

TRAIN_TASKS, OTHER_TASKS = 2000, 300


def supply(
    name: str, split: str, level: int, draw: Callable[[Random, str], Task]
) -> Mapping[str, Task]:
    """The tasks of a split at a level by id, the same in every process.

    `draw(rng, task_id)` makes one; a prompt that was drawn before is drawn again.
    """
    # Seeded by a text, which Random hashes the same way everywhere.
    rng = Random(f"{name} {split} {level}")
    found: dict[str, Task] = {}
    prompts: set[str] = set()
    while len(found) < (TRAIN_TASKS if split == "train" else OTHER_TASKS):
        task = draw(rng, f"{split}/{level}/{len(found)}")
        if task.prompt not in prompts:
            prompts.add(task.prompt)
            found[task.id] = task
    return found


def owner(family: str, owners: Sequence[str]) -> str:
    """Which of `owners` a family belongs to, by its hash; one that is named twice gets more."""
    number = int.from_bytes(hashlib.sha256(family.encode()).digest()[:8], "big")
    return owners[number % len(owners)]


def belongs(family: str, split: str, third: str) -> bool:
    """Whether a family of problems that are drawn alike may be used in a split.

    By a hash of it, seven in ten belong to `train`, two to `id`, one to `third`; in other splits
    problems are drawn otherwise, and all belong.
    """
    owners = ("train",) * 7 + ("id",) * 2 + (third,)
    return split == owner(family, owners) or split not in owners
