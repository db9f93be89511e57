"""The suites of an evaluation, and which of their tasks it plays."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from envs import registry
from envs.base import TextEnv
from envs.mixtures.names import part_names
from envs.types import Task

__all__ = ["ALL", "Suite", "open_envs", "select_suites", "select_tasks"]

ALL = "all"


@dataclass(frozen=True)
class Suite:
    """A split of an environment at a level: one row of a report."""

    env: str
    level: int
    split: str

    def __str__(self) -> str:
        return f"{self.env} level {self.level} {self.split}"

    @property
    def number(self) -> int:
        """32 bits that are the same in every process, to seed what is drawn for this suite."""
        return zlib.crc32(str(self).encode())


def open_envs(names: Sequence[str]) -> dict[str, TextEnv]:
    """The named environments, as sources of tasks; `all` stands for all of this project.

    Raises gymnasium.error.NameNotFound with the nearest name, ValueError for an environment that
    is not a TextEnv.
    """
    envs: dict[str, TextEnv] = {}
    for name in _resolve_all(names):
        env = registry.make(name).unwrapped
        if not isinstance(env, TextEnv):
            raise ValueError(
                f"{name} is a {type(env).__name__}, expected an envs.base.TextEnv"
            )
        envs[name] = env
    return envs


def _resolve_all(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name == ALL:
            yield from registry.names()
        else:
            # Each environment of a mixture has its own suites.
            yield from part_names(name)


def select_suites(
    envs: Mapping[str, TextEnv],
    *,
    ood: bool = False,
    levels: Sequence[int] = (),
    preferred: Sequence[int] = (),
) -> list[Suite]:
    """The `id` split of every environment, with `ood` every `ood/<shift>` too, level by level.

    Every environment must have all of `levels`. Without `levels`, an environment takes those of
    `preferred` that it has, else its first. A split without tasks at a level is left out. Raises
    ValueError for a level that an environment does not have, and if nothing is left.
    """
    suites: list[Suite] = []
    for name, env in envs.items():
        for level in levels:
            if level not in env.levels:
                known = " ".join(map(str, env.levels))
                raise ValueError(
                    f"got --levels {level}, expected levels of {name}: {known}"
                )

        chosen = levels or [x for x in preferred if x in env.levels] or env.levels[:1]
        splits = [s for s in env.splits if s == "id" or (ood and s.startswith("ood/"))]
        for level in sorted(set(chosen)):
            suites += [
                Suite(name, level, split) for split in splits if env.tasks(split, level)
            ]

    if not suites:
        raise ValueError(
            f"{', '.join(envs)}: no task in the `id` split at these levels; add --ood, or "
            "choose other --levels"
        )
    return suites


def select_tasks(
    suite: Suite, tasks: Sequence[Task], count: int, seed: int
) -> list[Task]:
    """`count` tasks drawn without replacement, or all if there are fewer.

    A smaller count with the same seed selects the first ones of a larger count's.
    """
    rng = np.random.default_rng([seed, suite.number])
    # All are permuted, so that a smaller count is a part of a larger one.
    order = rng.permutation(len(tasks))
    return [tasks[int(i)] for i in order[:count]]
