"""Several environments as one: tasks of all of them, each played by its own environment."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np

from envs.base import TextEnv
from envs.identity import identity
from envs.mixtures.names import Part, parse_mixture
from envs.rollout import Limits
from envs.types import Episode, Task, Verdict
from sandboxes.base import SandboxPool

__all__ = ["Mixture", "SandboxedMixture", "mixture"]

Make = Callable[..., TextEnv]


class _PartTasks(Sequence[Task]):
    """The tasks of parts at a level, with the part's number in their ids."""

    def __init__(self, parts: Sequence[tuple[int, Sequence[Task]]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(len(tasks) for _, tasks in self._parts)

    @overload
    def __getitem__(self, place: int) -> Task: ...
    @overload
    def __getitem__(self, place: slice) -> list[Task]: ...
    def __getitem__(self, place: int | slice) -> Task | list[Task]:
        """Raises IndexError past the end."""
        if isinstance(place, slice):
            return [self[i] for i in range(len(self))[place]]
        rest = range(len(self))[place]
        for number, tasks in self._parts:
            if rest < len(tasks):
                return _mix(tasks[rest], number)
            rest -= len(tasks)
        raise IndexError(place)


class Mixture(TextEnv):
    """Environments joined by `+`, to train on: every task is played by its own environment.

    A split is that of all parts which have it, a level that of all parts which are trained on it.
    Task ids have the part's number before their key; `own` gives an episode back as its part's.

    | attribute | meaning |
    |---|---|
    | parts | name, weight, levels and budgets of each |
    | envs | the environments, in the same order |
    """

    name = "mixture"

    def __init__(
        self, name: str, make: Make, *, pool: SandboxPool | None = None
    ) -> None:
        self.parts = parse_mixture(name)
        self.envs = [_make_part(part, make, pool) for part in self.parts]
        splits = dict.fromkeys(split for env in self.envs for split in env.splits)
        if any("train" not in env.splits for env in self.envs):
            # A mixture is for training, and nothing trains on the rest.
            splits.pop("train", None)
        levels = {
            level for number in self._numbers() for level in self.levels_of(number)
        }
        self.splits = tuple(splits)  # pyright: ignore[reportAttributeAccessIssue]
        self.levels = tuple(sorted(levels))  # pyright: ignore[reportAttributeAccessIssue]
        self.max_turns = max(env.max_turns for env in self.envs)  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__()

    def levels_of(self, number: int) -> tuple[int, ...]:
        """The levels of a part: those that it names, else all of its environment's."""
        return self.parts[number].levels or tuple(self.envs[number].levels)

    def part_of(self, task: Task) -> int:
        """The number of the part that a task belongs to."""
        return int(_key(task).partition(":")[0])

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of all parts that have the split and the level, part by part."""
        return _PartTasks(
            [
                (number, self.envs[number].tasks(split, level))
                for number in self._numbers()
                if split in self.envs[number].splits and level in self.levels_of(number)
            ]
        )

    def tasks_of(self, number: int, split: str, level: int) -> Sequence[Task]:
        """The tasks of one part, as this mixture names them; none without the split or level."""
        env = self.envs[number]
        if split not in env.splits or level not in env.levels:
            return ()
        return _PartTasks([(number, env.tasks(split, level))])

    def find(self, split: str, level: int, task_id: str) -> Task | None:
        """The task of that id."""
        key = task_id.removeprefix(f"{split}/{level}/")
        number, colon, rest = key.partition(":")
        if not colon or not number.isdecimal() or int(number) >= len(self.parts):
            return None
        task = self.envs[int(number)].find(split, level, f"{split}/{level}/{rest}")
        return None if task is None else _mix(task, int(number))

    def own(self, episode: Episode) -> Episode:
        """An episode of this mixture as one of the environment that played it."""
        who = identity(self._env_of(episode.task))
        return replace(episode, task=_unmix(episode.task), **vars(who))

    def limits_of(self, task: Task, limits: Limits) -> Limits:
        """The budgets of the task's part, of which `limits` are the most."""
        part = self.parts[self.part_of(task)]
        return Limits(
            turn_tokens=min(part.turn_tokens or limits.turn_tokens, limits.turn_tokens),
            episode_tokens=min(
                part.episode_tokens or limits.episode_tokens, limits.episode_tokens
            ),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Starts the task in its own environment."""
        super(TextEnv, self).reset(seed=seed)
        self._finish()
        task = self._pick(options or {})
        self._task = task
        own = _unmix(task)
        return self._env_of(task).reset(
            seed=seed,
            options={"split": own.split, "level": own.level, "task_id": own.id},
        )

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """The turn, in the task's own environment."""
        return self._env_of(self.task).step(action)

    def reply(self, text: str) -> str | Verdict:
        """Never called: a turn goes to the part."""
        return self._env_of(self.task).reply(text)

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools of the part that plays."""
        return self._env_of(self.task).tools()

    def turn_budget(self, task: Task) -> int:
        """That of the task's environment."""
        return self._env_of(task).turn_budget(_unmix(task))

    def checks(self) -> Mapping[str, float]:
        """The sub-scores of the part that plays."""
        return self._env_of(self.task).checks()

    def situation(self) -> Mapping[str, Any]:
        """The part, and its own situation."""
        part = self._env_of(self.task)
        return {"part": self.part_of(self.task), **part.situation()}

    def get_state(self) -> dict[str, Any]:
        """The part's snapshot, with the name of the task here."""
        inner = self._env_of(self.task).get_state()
        return {**inner, "mixed": self.task.id}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters an episode of a part."""
        self._finish()
        options = {
            "split": state["split"],
            "level": state["level"],
            "task_id": state["mixed"],
        }
        self._task = self._pick(options)
        self._env_of(self._task).set_state(
            {key: value for key, value in state.items() if key != "mixed"}
        )

    def oracle(self, task: Task) -> list[str]:
        """The turns of the task's environment."""
        return self._env_of(task).oracle(_unmix(task))

    def critical(self, task: Task) -> list[str]:
        """The spans of the task's environment."""
        return self._env_of(task).critical(_unmix(task))

    def random_turn(self, rng: np.random.Generator) -> str:
        """A turn of the part that plays."""
        return self._env_of(self.task).random_turn(rng)

    def close(self) -> None:
        """Closes every part."""
        for env in self.envs:
            env.close()
        super().close()

    def _numbers(self) -> range:
        return range(len(self.parts))

    def _env_of(self, task: Task) -> TextEnv:
        return self.envs[self.part_of(task)]


class SandboxedMixture(Mixture):
    """A mixture with a part that runs code."""

    def __init__(
        self, name: str, make: Make, sandboxes: SandboxPool | None = None
    ) -> None:
        super().__init__(name, make, pool=sandboxes)


def mixture(name: str, make: Make, **arguments: Any) -> Mixture:
    """The environment that a mixture's name means; `make` makes a part by its name.

    Raises ValueError for a malformed name, a part that is no TextEnv, and a level that one has not.
    """
    if any(_takes_sandboxes(make(part.name)) for part in parse_mixture(name)):
        return SandboxedMixture(name, make, **arguments)
    return Mixture(name, make, **arguments)


def _takes_sandboxes(env: TextEnv) -> bool:
    return "sandboxes" in inspect.signature(type(env)).parameters


def _make_part(part: Part, make: Make, sandboxes: SandboxPool | None) -> TextEnv:
    env = make(part.name)
    if not isinstance(env, TextEnv):
        raise ValueError(
            f"got {type(env).__name__} for {part.name!r}, expected a TextEnv"
        )
    unknown = sorted(set(part.levels) - set(env.levels))
    if unknown:
        raise ValueError(f"levels {unknown} are not among {part.name}'s: {env.levels}")
    if sandboxes is not None and _takes_sandboxes(env):
        env = make(part.name, sandboxes=sandboxes)
    return env


def _mix(task: Task, number: int) -> Task:
    return replace(task, id=f"{task.split}/{task.level}/{number}:{_key(task)}")


def _unmix(task: Task) -> Task:
    _, _, key = _key(task).partition(":")
    return replace(task, id=f"{task.split}/{task.level}/{key}")


def _key(task: Task) -> str:
    """What follows split and level in a task's id. Raises ValueError for an id without them."""
    start = f"{task.split}/{task.level}/"
    if not task.id.startswith(start):
        raise ValueError(
            f"task {task.id!r} cannot be mixed: its id must begin with {start!r}"
        )
    return task.id.removeprefix(start)
