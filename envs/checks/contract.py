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
from envs.checks.env_under_test import EnvUnderTest
from envs.checks.fresh import drawn, in_fresh_process

__all__ = ["gymnasium_accepts", "refuses_bad_input", "survives_pickling", "vectorizes"]

MANY = 2


def gymnasium_accepts(subject: EnvUnderTest) -> Iterator[str]:
    """Gymnasium's check_env finds nothing, and warns of nothing."""
    with closing(subject.make()) as env, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        check_env(env)
    yield from (str(warning.message) for warning in warned)


def refuses_bad_input(subject: EnvUnderTest) -> Iterator[str]:
    """Bad resets and steps raise errors that say got, wanted and what to do."""
    env, splits, levels = subject.env, subject.env.splits, subject.env.levels
    split, level = splits[0], levels[0]
    task = subject.sample(split, level, 1)[0]
    wrong_level = max(levels) + 1
    bad: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
        ("an unknown split", {"split": "no such split"}, ("no such split", split)),
        (
            "a level out of range",
            {"level": wrong_level},
            (str(wrong_level), str(level)),
        ),
        ("an unknown option", {"no_option": 1}, ("no_option", "split")),
        ("an unknown task", {"task_id": "no such task"}, ("no such task",)),
    ]
    others = [cell for cell in subject.cells() if cell != (split, level)]
    bad += [
        (
            f"a task of {split} at level {level}",
            {"split": s, "level": n, "task_id": task.id},
            (),
        )
        for s, n in (others[-1:] if subject.quick else others)
    ]
    for what, options, words in bad:
        told = words or (task.id, options["split"])
        yield from _refusal(
            what, ValueError, told, lambda o=options: env.reset(options=o)
        )
    with closing(subject.make()) as fresh:
        yield from _refusal(
            "a step before the first reset",
            ResetNeeded,
            ("reset",),
            lambda: fresh.step("x"),
        )
    yield from _after_the_end(subject)


def _after_the_end(subject: EnvUnderTest) -> Iterator[str]:
    env, task = subject.env, subject.few()[0]
    subject.play(task, [])
    for action in (None, 3, b"x"):
        words = ("str", type(action).__name__)
        what = f"an action of type {type(action).__name__}"
        yield from _refusal(what, TypeError, words, lambda a=action: env.step(a))  # pyright: ignore[reportArgumentType]
    if subject.play(task, lambda chat: "").ended:
        yield from _refusal(
            "a step after the end", ResetNeeded, ("reset",), lambda: env.step("x")
        )


def _refusal(
    what: str, kind: type[Exception], words: tuple[str, ...], act: Callable[[], object]
) -> Iterator[str]:
    try:
        act()
    except kind as error:
        if missing := [word for word in words if word not in str(error)]:
            yield f"the error about {what} must name {missing[0]!r}, got: {error}"
    else:
        yield f"{what} was accepted, wanted {kind.__name__}"


def survives_pickling(subject: EnvUnderTest) -> Iterator[str]:
    """A pickled environment draws the same tasks in a fresh process."""
    with closing(subject.make()) as env:
        there = in_fresh_process(subject.name, hash_seed=3, pickled=pickle.dumps(env))
        yield from difference(drawn(env), there, "here", "where it was unpickled")


def vectorizes(subject: EnvUnderTest) -> Iterator[str]:
    """gymnasium.make_vec, sync and in spawned processes, gives what the environment gives alone."""
    spec = registry.make(subject.name).spec
    if spec is None:
        yield "it has no Gymnasium spec: register it"
        return
    alone = []
    with closing(subject.make()) as env:
        for number in range(MANY):
            prompt = env.reset(seed=5 + number)[0]
            alone.append((prompt, env.step("\u00e9\n")[0]))
    spawned = {"shared_memory": False, "context": "spawn"}
    for mode, options in (("sync", {}), ("async", spawned)):
        made = gymnasium.make_vec(
            spec.id, num_envs=MANY, vectorization_mode=mode, vector_kwargs=options
        )
        with closing(made) as many:
            prompts, _ = many.reset(seed=5)
            replies = many.step(("\u00e9\n",) * MANY)[0]
        if list(zip(prompts, replies, strict=True)) != alone:
            yield f"{mode}: got {list(prompts)!r:.200}, wanted {[p for p, _ in alone]!r:.200}"


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
