"""Which tasks a step trains on, by the curriculum of each environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.base import TextEnv
from envs.mixtures.env import Mixture
from envs.types import Episode, Task
from scgrpo.rollouts import success_rate
from scgrpo.training.curriculum import LevelCurriculum

__all__ = ["TaskDraw"]


class TaskDraw:
    """Draws tasks, and moves the level of each environment by what its groups achieve.

    `levels` are those that the run may use; none stands for all of an environment's. Raises
    ValueError if a part of a mixture has none of them.
    """

    def __init__(self, env: TextEnv, levels: Sequence[int] = ()) -> None:
        self._env = env
        if not isinstance(env, Mixture):
            self._curricula = [LevelCurriculum(levels or env.levels)]
            return
        self._curricula = []
        for number, part in enumerate(env.parts):
            own = env.levels_of(number)
            usable = part.levels or [x for x in own if x in levels] if levels else own
            if not usable:
                raise ValueError(
                    f"{part.name} has none of the levels {list(levels)}, expected some of {own}"
                )
            self._curricula.append(LevelCurriculum(usable))
        weights = np.array([part.weight for part in env.parts])
        self._shares = weights / weights.sum()

    @property
    def level(self) -> float:
        """The current level; of a mixture the mean over its parts."""
        return sum(one.level for one in self._curricula) / len(self._curricula)

    def draw(self, rng: np.random.Generator) -> Task:
        """A task of `train`: the part by its weight, the level by its curriculum."""
        env = self._env
        if not isinstance(env, Mixture):
            pool = env.tasks("train", self._curricula[0].draw(rng))
        else:
            number = int(rng.choice(len(self._shares), p=self._shares))
            pool = env.tasks_of(number, "train", self._curricula[number].draw(rng))
        return pool[int(rng.integers(len(pool)))]

    def record(self, task: Task, success: float) -> None:
        """Counts the success rate of a task's group."""
        self._curricula[self._number(task)].record(task.level, success)

    def validation_levels(self) -> list[tuple[str, int | None, int]]:
        """What validation measures: name, number of the part (None: no mixture), and level."""
        if not isinstance(self._env, Mixture):
            return [("", None, self._curricula[0].level)]
        return [
            (part.name, number, self._curricula[number].level)
            for number, part in enumerate(self._env.parts)
        ]

    def log(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Of a mixture: each part's level, and the success and share of its episodes."""
        env = self._env
        if not isinstance(env, Mixture):
            return {}
        log: dict[str, float] = {}
        for number, part in enumerate(env.parts):
            own = [one for one in episodes if self._number(one.task) == number]
            log[f"env/{part.name}/level"] = float(self._curricula[number].level)
            log[f"env/{part.name}/share"] = len(own) / max(1, len(episodes))
            if own:
                log[f"env/{part.name}/success"] = success_rate(own)
        return log

    def own(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes as those of the environments that played them."""
        env = self._env
        if not isinstance(env, Mixture):
            return list(episodes)
        return [env.own(episode) for episode in episodes]

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        first, *others = [one.state_dict() for one in self._curricula]
        return {**first, "others": others} if others else first

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from what `state_dict` returned."""
        first, *others = self._curricula
        first.load_state_dict({key: state[key] for key in ("place", "recent")})
        for one, saved in zip(others, state.get("others", ()), strict=True):
            one.load_state_dict(saved)

    def _number(self, task: Task) -> int:
        return self._env.part_of(task) if isinstance(self._env, Mixture) else 0
