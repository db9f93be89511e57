"""The environment under test, and how the checks play it."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from envs import registry
from envs.base import TextEnv
from envs.types import Task, Verdict

__all__ = ["NotDefined", "Script", "EnvUnderTest", "Trace"]

Script = Iterable[str] | Callable[[list[str]], str]

QUICK_PATIENCE_S, PATIENCE_S = 30.0, 60.0


class NotDefined(Exception):
    """The environment does not define what a check needs, or has nothing that it could attack."""


@dataclass
class Trace:
    """One played episode.

    | field | meaning |
    |---|---|
    | task | the problem |
    | chat | prompt, turn, reply, turn, reply, ... |
    | infos | the info of the reset and of each step |
    | verdicts | what the environment's `reply` judged |
    | reward | the sum over the steps |
    | ended | the environment terminated or truncated it |
    """

    task: Task
    chat: list[str]
    infos: list[Mapping[str, Any]]
    verdicts: list[Verdict] = field(default_factory=list)
    reward: float = 0.0
    ended: bool = False

    @property
    def passed(self) -> bool:
        """Whether anything in it counts as success."""
        if self.reward > 0:
            return True
        if any(verdict.passed for verdict in self.verdicts):
            return True
        return any(info.get("verified") for info in self.infos)


class EnvUnderTest:
    """An environment by name, and samples of its tasks.

    A check leaves remarks for its reader in `notes`; `breaches` collects what breaks the contract
    of `step`. Whoever runs a check empties both. A context manager.
    """

    def __init__(self, name: str, *, quick: bool = False) -> None:
        self.name, self.quick = name, quick
        self.patience_s = QUICK_PATIENCE_S if quick else PATIENCE_S
        self.notes: list[str] = []
        self.breaches: list[str] = []
        self.env = self.make()

    def make(self) -> TextEnv:
        """Another one of it. Raises ValueError for an environment that is no TextEnv."""
        env = registry.make(self.name).unwrapped
        if not isinstance(env, TextEnv):
            raise ValueError(
                f"got {type(env).__name__} for {self.name!r}, expected a TextEnv: derive it from "
                "envs.base.TextEnv"
            )
        return env

    def __enter__(self) -> EnvUnderTest:
        return self

    def __exit__(self, *error: object) -> None:
        self.env.close()

    def cells(self) -> Iterator[tuple[str, int]]:
        """Every split at every level."""
        yield from itertools.product(self.env.splits, self.env.levels)

    def sample(self, split: str, level: int, count: int) -> list[Task]:
        """Tasks spread evenly over a split at a level."""
        tasks = self.env.tasks(split, level)
        count = min(count, len(tasks))
        places = np.linspace(0, len(tasks) - 1, count).astype(int)
        return [tasks[int(place)] for place in places]

    def some(self) -> Iterator[Task]:
        """Two tasks of every split at every level; if quick, one of every split and every level."""
        first_split = self.env.splits[0]
        first_level = self.env.levels[0]
        for split, level in self.cells():
            if not self.quick:
                yield from self.sample(split, level, 2)
            elif split == first_split or level == first_level:
                yield from self.sample(split, level, 1)

    def few(self) -> list[Task]:
        """A task of the first split at every level: for attacks that take long."""
        tasks: list[Task] = []
        for level in self.env.levels:
            tasks += self.sample(self.env.splits[0], level, 1)
        return tasks

    def oracle(self, task: Task) -> list[str]:
        """The turns that solve a task. Raises NotDefined without an oracle."""
        return self.optional(self.env.oracle, task)

    def optional(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """What an optional method returns. Raises NotDefined if the author wrote none."""
        try:
            return method(*arguments)
        except NotImplementedError as error:
            raise NotDefined(str(error)) from error

    def tools(self, task: Task) -> list[Mapping[str, Any]]:
        """The functions offered for a task: `name`, `description`, `parameters`."""
        trace = self.play(task, [])
        reset_info = trace.infos[0]
        return [tool["function"] for tool in reset_info["tools"]]

    def play(self, task: Task, script: Script, env: TextEnv | None = None) -> Trace:
        """Plays turns until they or the episode end; the task may be one of no split (a twin).

        A script that is a function gets the chat so far. Raises what the environment raises, with a
        note of the turn.
        """
        env = env or self.env
        verdicts: list[Verdict] = []
        reply = env.reply

        def reply_and_record(text: str) -> str | Verdict:
            """The environment's answer, whose verdict is kept."""
            answer = reply(text)
            if isinstance(answer, Verdict):
                verdicts.append(answer)
            return answer

        # `find` too, so that a task of no split is played as well.
        with _patch_methods(env, find=lambda *_: task, reply=reply_and_record):
            options = {
                "split": task.split,
                "level": task.level,
                "task_id": task.id,
            }
            prompt, info = env.reset(seed=0, options=options)
            trace = Trace(
                task=task,
                chat=[prompt],
                infos=[copy.copy(info)],
                verdicts=verdicts,
            )
            self._steps(env, trace, script)
        self._note_breaches(task, _verdict_breaches(verdicts))
        return trace

    def _steps(self, env: TextEnv, trace: Trace, script: Script) -> None:
        task = trace.task
        budget = env.turn_budget(task)
        for number, turn in enumerate(_turns(script, trace.chat), start=1):
            if number > budget:
                self.breaches.append(f"task {task.id} goes on after its {budget} turns")
                return

            started = time.monotonic()
            try:
                step = env.step(turn)
            except Exception as error:
                error.add_note(f"at turn {number} of task {task.id}, {turn!r:.80}")
                raise
            took_s = time.monotonic() - started
            if took_s > self.patience_s:
                self.breaches.append(f"a turn of task {task.id} took {took_s:.0f} s")
            self._note_breaches(task, _step_breaches(step))

            observation, reward, terminated, truncated, info = step
            trace.chat += [turn, observation]
            trace.infos.append(info)
            trace.reward += float(reward)
            trace.ended = terminated or truncated
            if trace.ended:
                return

    def _note_breaches(self, task: Task, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            self.breaches.append(f"{sentence} (task {task.id})")


def _turns(script: Script, chat: list[str]) -> Iterable[str]:
    """The turns of a script; one that is a function is asked for each, without end."""
    if not callable(script):
        return script
    return (script(chat) for _ in itertools.count())


@contextmanager
def _patch_methods(env: TextEnv, **methods: Any) -> Iterator[None]:
    """Puts functions in place of methods of one environment."""
    vars(env).update(methods)
    try:
        yield
    finally:
        for name in methods:
            vars(env).pop(name, None)


def _step_breaches(step: Sequence[Any]) -> Iterator[str]:
    observation, reward, terminated, truncated, info = step
    if not isinstance(observation, str):
        yield f"the reply is {type(observation).__name__}, expected str"
    if reward not in (0.0, 1.0):
        yield f"the reward is {reward!r}, expected 0 or 1"
    verified = info.get("verified")
    if not terminated and not truncated:
        if reward or verified is not None:
            yield f"reward {reward!r} and verified {verified!r} before the end, expected 0 and None"
    elif verified is None:
        yield "the episode ends without a verdict"
    elif bool(verified) != (reward == 1.0):
        yield f"verified is {verified!r} with reward {reward!r}; both must say the same"
    for name, value in info.get("parts", {}).items():
        if not math.isfinite(value):
            yield f"part {name!r} is {value!r}, expected a finite number"


def _verdict_breaches(verdicts: Iterable[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        if verdict.passed != (verdict.score == 1.0):
            yield (
                f"passed is {verdict.passed} with score {verdict.score}: partial credit; "
                "pass exactly at score 1"
            )
