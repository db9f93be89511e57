"""What every protocol of others needs of an environment: tasks by number, and episodes by turns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from envs import registry
from envs.base import TextEnv
from envs.types import Message, Task
from sandboxes import SandboxPool

__all__ = ["NoVerdictError", "Opening", "Reply", "Session", "TaskCatalogue"]


class NoVerdictError(RuntimeError):
    """An episode ended without a verdict: an error, and never a wrong answer."""


@dataclass(frozen=True)
class Opening:
    """How an episode starts.

    | field | meaning |
    |---|---|
    | task | the problem |
    | messages | the chat to start from: system, if there are instructions, and user |
    | tools | OpenAI function schemas that are offered |
    """

    task: Task
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Reply:
    """What a turn is answered with.

    | field | meaning |
    |---|---|
    | text | the next user message; at the end why it ended |
    | reward | 1.0 if the verifier passed the episode with this turn, else 0.0 |
    | done | whether the episode is over |
    | info | `verified`, `score`, `parts`, `detail`, `malformed`, as `TextEnv.step` gives them |
    """

    text: str
    reward: float
    done: bool
    info: Mapping[str, Any]


class TaskCatalogue:
    """The tasks of an environment, numbered through the levels of each split; threads may share it.

    `levels` are those that it lists, by default all. Raises ValueError for an environment that is
    no TextEnv, and for a level that it has not; Gymnasium's errors for an unknown name.
    """

    def __init__(self, name: str, levels: Sequence[int] = ()) -> None:
        self.name = name
        self.env = _text_env(name)
        unknown = sorted(set(levels) - set(self.env.levels))
        if unknown:
            known = ", ".join(map(str, self.env.levels))
            raise ValueError(
                f"got level {unknown[0]}, expected levels of {name}: {known}"
            )
        self.levels = tuple(sorted(set(levels))) or tuple(self.env.levels)
        self._lock = Lock()

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits; the first is the default."""
        return tuple(self.env.splits)

    def count(self, split: str, level: int | None = None) -> int:
        """How many tasks a split has, at one level or at all that are listed."""
        with self._lock:
            return sum(len(tasks) for tasks in self._parts(split, level))

    def task(self, split: str, index: int, level: int | None = None) -> Task:
        """The task of that number, from 0. Raises IndexError outside of `count`."""
        with self._lock:
            rest = index
            for tasks in self._parts(split, level) if index >= 0 else ():
                if rest < len(tasks):
                    return tasks[rest]
                rest -= len(tasks)
        raise IndexError(
            f"got index {index}, expected 0 to {self.count(split, level) - 1} in split {split!r}"
        )

    def find(self, task_id: str) -> Task:
        """The task of that id, whose split and level it begins with. Raises ValueError."""
        for split in self.splits:
            level, _, _ = task_id.removeprefix(f"{split}/").partition("/")
            if task_id.startswith(f"{split}/{level}/") and level.isdecimal():
                with self._lock:
                    task = self.env.find(split, int(level), task_id)
                if task is not None:
                    return task
        raise ValueError(f"{self.name} has no task {task_id!r}")

    def _parts(self, split: str, level: int | None) -> list[Sequence[Task]]:
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise ValueError(
                f"unknown split {split!r}; {self.name} has the splits {known}"
            )
        if level is not None and level not in self.env.levels:
            known = ", ".join(map(str, self.env.levels))
            raise ValueError(f"unknown level {level!r}; {self.name} has {known}")
        levels = self.levels if level is None else (level,)
        return [self.env.tasks(split, one) for one in levels]


class Session:
    """One environment of a name, played episode after episode by one caller.

    Whatever breaks in an episode is raised, SandboxError among it, and the next `reset` starts
    again: no caller can mistake it for a reward of 0.
    """

    def __init__(
        self, catalogue: TaskCatalogue, sandboxes: SandboxPool | None = None
    ) -> None:
        self.catalogue = catalogue
        self._env = _text_env(catalogue.name, sandboxes)

    def reset(self, task: Task, *, seed: int | None = None) -> Opening:
        """Starts an episode of the task; `seed` is for environments that draw during one."""
        options = {"split": task.split, "level": task.level, "task_id": task.id}
        _, info = self._env.reset(seed=seed, options=options)
        return Opening(task, tuple(info["messages"]), tuple(info["tools"]))

    def step(self, text: str) -> Reply:
        """The answer to a turn. Raises NoVerdictError if the episode ends without a verdict."""
        text, reward, terminated, truncated, info = self._env.step(text)
        done = terminated or truncated
        if done and info["verified"] is None:
            raise NoVerdictError(f"the verifier of {self.catalogue.name} gave none")
        return Reply(text, float(reward), done, info)

    def close(self) -> None:
        """Ends the episode. Safe to call twice."""
        self._env.close()


def _text_env(name: str, sandboxes: SandboxPool | None = None) -> TextEnv:
    env = registry.make(name).unwrapped
    if not isinstance(env, TextEnv):
        raise ValueError(f"got {type(env).__name__} for {name!r}, expected a TextEnv")
    if sandboxes is not None and "sandboxes" in inspect.signature(type(env)).parameters:
        env.close()
        env = registry.make(name, sandboxes=sandboxes).unwrapped
        assert isinstance(env, TextEnv)
    return env
