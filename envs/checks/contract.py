"""Gymnasium's contract, and errors that tell their reader what to do."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gymnasium
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from envs import registry
from envs.base import TextEnv
from envs.checks.env_under_test import EnvUnderTest
from envs.checks.fresh import in_fresh_process, task_lines

__all__ = ["gymnasium_accepts", "refuses_bad_input", "survives_pickling", "vectorizes"]

MANY = 2
FOREIGN_TURN = "\u00e9\n"
"""A turn that is not ASCII, which shared memory would garble."""


def gymnasium_accepts(subject: EnvUnderTest) -> Iterator[str]:
    """Gymnasium's check_env finds nothing, and warns of nothing."""
    with closing(subject.make()) as env, warnings.catch_warnings(record=True) as log:
        warnings.simplefilter("always")
        check_env(env)
    yield from (str(warning.message) for warning in log)


def refuses_bad_input(subject: EnvUnderTest) -> Iterator[str]:
    """Bad resets and steps raise errors that say got, expected and what to do."""
    bad_resets = _bad_options(subject)
    bad_resets += _tasks_elsewhere(subject)
    for what, options, words in bad_resets:
        yield from _refusal(
            what,
            ValueError,
            words,
            lambda bad=options: subject.env.reset(options=bad),
        )
    yield from _bad_steps(subject)


BadReset = tuple[str, dict[str, Any], tuple[str, ...]]
"""What is wrong, the options, and the words that the error must name."""


def _bad_options(subject: EnvUnderTest) -> list[BadReset]:
    split = subject.env.splits[0]
    level = subject.env.levels[0]
    beyond = max(subject.env.levels) + 1
    return [
        ("an unknown split", {"split": "no such split"}, ("no such split", split)),
        ("a level out of range", {"level": beyond}, (str(beyond), str(level))),
        ("an unknown option", {"no_option": 1}, ("no_option", "split")),
        ("an unknown task", {"task_id": "no such task"}, ("no such task",)),
    ]


def _tasks_elsewhere(subject: EnvUnderTest) -> Iterator[BadReset]:
    """A task asked for under each split and level that it is not of."""
    home = subject.env.splits[0], subject.env.levels[0]
    task = subject.sample(*home, 1)[0]
    what = f"a task of {task.split} at level {task.level}"
    elsewhere = [cell for cell in subject.cells() if cell != home]
    if subject.quick:
        elsewhere = elsewhere[-1:]
    for split, level in elsewhere:
        options = {"split": split, "level": level, "task_id": task.id}
        yield what, options, (task.id, split)


def _bad_steps(subject: EnvUnderTest) -> Iterator[str]:
    with closing(subject.make()) as fresh:
        yield from _no_step(fresh, "a step before the first reset")

    env = subject.env
    task = subject.few()[0]
    subject.play(task, [])
    for action in (None, 3, b"x"):
        name = type(action).__name__
        yield from _refusal(
            f"an action of type {name}",
            TypeError,
            ("str", name),
            lambda bad=action: env.step(bad),  # pyright: ignore[reportArgumentType]
        )
    if subject.play(task, lambda chat: "").ended:
        yield from _no_step(env, "a step after the end")


def _no_step(env: TextEnv, what: str) -> Iterator[str]:
    yield from _refusal(
        what,
        ResetNeeded,
        ("reset",),
        lambda: env.step("x"),
    )


def _refusal(
    what: str, kind: type[Exception], words: tuple[str, ...], act: Callable[[], object]
) -> Iterator[str]:
    try:
        act()
    except kind as error:
        message = str(error)
        missing = [word for word in words if word not in message]
        if missing:
            yield f"the error about {what} must name {missing[0]!r}, got: {error}"
    else:
        yield f"{what} was accepted, expected {kind.__name__}"


def survives_pickling(subject: EnvUnderTest) -> Iterator[str]:
    """A pickled environment draws the same tasks in a fresh process."""
    with closing(subject.make()) as env:
        lines_there = in_fresh_process(
            subject.name,
            hash_seed=3,
            pickled=pickle.dumps(env),
        )
        yield from difference(
            task_lines(env),
            lines_there,
            here="here",
            there="where it was unpickled",
        )


def vectorizes(subject: EnvUnderTest) -> Iterator[str]:
    """gymnasium.make_vec, sync and in spawned processes, gives what the environment gives alone."""
    spec = registry.make(subject.name).spec
    if spec is None:
        yield "it has no Gymnasium spec: register it"
        return

    expected: list[tuple[str, str]] = []
    with closing(subject.make()) as env:
        for number in range(MANY):
            prompt, _ = env.reset(seed=5 + number)
            reply, *_ = env.step(FOREIGN_TURN)
            expected.append((prompt, reply))

    spawned = {"shared_memory": False, "context": "spawn"}
    for mode, options in (("sync", {}), ("async", spawned)):
        vector = gymnasium.make_vec(
            spec.id,
            num_envs=MANY,
            vectorization_mode=mode,
            vector_kwargs=options,
        )
        with closing(vector):
            prompts, _ = vector.reset(seed=5)
            replies, *_ = vector.step((FOREIGN_TURN,) * MANY)
        chats = list(zip(prompts, replies, strict=True))
        if chats != expected:
            yield f"{mode}: got {chats!r:.200}, expected {expected!r:.200}"


def difference(
    left: list[str], right: list[str], here: str, there: str
) -> Iterator[str]:
    """A sentence for the first line that two lists do not share."""
    for one, other in zip(left, right, strict=False):
        if one != other:
            yield f"{one} ({here}), but {other} ({there})"
            return
    if len(left) != len(right):
        yield f"{len(left)} lines {here}, {len(right)} {there}"
