"""What an evaluation covers: which splits at which levels, and which of their tasks."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from envs import registry
from envs.base import TextEnv
from envs.types import Task

__all__ = ["Cell", "cells", "choose", "open_envs"]

ALL = "all"


@dataclass(frozen=True)
class Cell:
    """One row of a report: a split of an environment at a level."""

    env: str
    level: int
    split: str

    def __str__(self) -> str:
        return f"{self.env} level {self.level} {self.split}"

    @property
    def number(self) -> int:
        """The same 32 bits in every process, to seed what is drawn for this cell."""
        return zlib.crc32(str(self).encode())


def open_envs(names: Sequence[str]) -> dict[str, TextEnv]:
    """The named environments, to ask for tasks; `all` stands for every one of ours.

    Raises gymnasium.error.NameNotFound with the nearest name, ValueError for an environment that
    is not a TextEnv.
    """
    wanted = [
        known
        for name in names
        for known in (registry.names() if name == ALL else [name])
    ]
    opened: dict[str, TextEnv] = {}
    for name in wanted:
        env = registry.make(name).unwrapped
        if not isinstance(env, TextEnv):
            raise ValueError(
                f"{name} is a {type(env).__name__}; wanted an envs.base.TextEnv"
            )
        opened[name] = env
    return opened


def cells(
    envs: Mapping[str, TextEnv],
    *,
    ood: bool = False,
    levels: Sequence[int] = (),
    preferred: Sequence[int] = (),
) -> list[Cell]:
    """The `id` split of every environment, with `ood` every `ood/<shift>` too, level by level.

    Every environment must have all of `levels`. Without any, it takes those of `preferred` that it
    has, else its first. Splits without tasks at a level are left out. Raises ValueError for a
    level that an environment lacks, and where nothing is left.
    """
    found: list[Cell] = []
    for name, env in envs.items():
        if lacking := [level for level in levels if level not in env.levels]:
            raise ValueError(
                f"{name} has no level {lacking[0]}; wanted --levels among "
                + " ".join(map(str, env.levels))
            )
        kept = levels or [x for x in preferred if x in env.levels] or env.levels[:1]
        splits = [s for s in env.splits if s == "id" or (ood and s.startswith("ood/"))]
        found += [
            Cell(name, level, split)
            for level in sorted(set(kept))
            for split in splits
            if len(env.tasks(split, level))
        ]
    if not found:
        raise ValueError(
            f"{', '.join(envs)} has no task in the wanted splits; try --ood"
        )
    return found


def choose(cell: Cell, tasks: Sequence[Task], count: int, seed: int) -> list[Task]:
    """`count` tasks drawn without replacement, or all where there are fewer.

    A smaller count with the same seed chooses the first ones of a larger count's.
    """
    order = np.random.default_rng([seed, cell.number]).permutation(len(tasks))
    return [tasks[int(i)] for i in order[:count]]
