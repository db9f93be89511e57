"""Scripts with bugs that `code_debug` asks to mend: snippets, mutated and vetted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from envs.code.bugs.mutate import HELD_OUT_OPERATORS, mutate, mutations
from envs.code.debug.snippets import TIMED_OUT, Snippet, outcomes, snippets
from envs.supply import TaskSource
from envs.types import Task

__all__ = [
    "Bug",
    "broken",
    "bugs",
    "candidates",
    "check_lines",
    "task_of",
    "tasks_of",
    "twin_of",
]

# By level: how many functions, and how many of them are broken.
_SIZES = ((1, 1), (1, 1), (1, 1), (3, 1), (11, 2))
_LONGER = ((2, 1), (2, 2), (2, 2), (5, 2), (16, 3))
_CANDIDATES = 3
_LEAST_FAILING = 3
_MOST_MUTANTS = 16
_TOLD_CHARS, _LINE_CHARS = 40, 64
# What these give differs between processes.
_UNSTABLE = frozenset(
    {"hash", "id", "iter", "map", "zip", "reversed", "enumerate", "ascii"}
)
_ITEMS = ("item", "value", "each", "part", "cur", "step")
_RESULTS = ("result", "found", "acc", "res", "state", "mem")


@dataclass(frozen=True)
class Bug:
    """A wrong line of a snippet.

    | field | meaning |
    |---|---|
    | line | from 1 |
    | text | the wrong line |
    | told | what each of the snippet's calls gives with it |
    | fails | which of the calls give something else than they should |
    """

    line: int
    text: str
    told: tuple[str, ...]
    fails: tuple[int, ...]


@cache
def bugs(snippet: Snippet, held_out: bool) -> tuple[Bug, ...]:
    """Mutants that fail at least three of the calls and end on all of them.

    By operators that training uses, or by the others.
    """
    found: list[Bug] = []
    every = [one for one in mutations(snippet.code) if one.after not in _UNSTABLE]
    chosen = [one for one in every if (one.operator in HELD_OUT_OPERATORS) == held_out]
    Random(snippet.key).shuffle(chosen)
    for one in chosen[:_MOST_MUTANTS]:
        code = mutate(snippet.code, one)
        text = code.split("\n")[one.line - 1]
        told = _vetted(code, snippet.calls)
        if told and len(text) <= _LINE_CHARS:
            pairs = enumerate(zip(told, snippet.values, strict=True))
            fails = tuple(place for place, pair in pairs if not _equal(*pair))
            found += (
                [Bug(one.line, text, told, fails)]
                if len(fails) >= _LEAST_FAILING
                else []
            )
    return tuple(found)


@cache
def tasks_of(split: str, level: int) -> TaskSource:
    """The tasks of a split at a level, each drawn once."""

    def draw(rng: Random, task_id: str) -> Task:
        return _drawn(rng, split, level, task_id)

    return TaskSource("code_debug", split, level, draw)


def broken(payload: Mapping[str, Any]) -> list[str]:
    """The script's code with its bugs, without the check."""
    lines = list(payload["right"])
    for number, text, _ in payload["bugs"]:
        lines[number - 1] = text
    return lines


def check_lines(payload: Mapping[str, Any]) -> list[str]:
    """The end of the script, which asserts."""
    shown = payload["visible"]
    if len(shown) == 1:
        return [f"assert {shown[0][0]} == {shown[0][1]}"]
    calls = [f"    {call}," for call, _ in shown]
    values = ", ".join(value for _, value in shown)
    return ["results = [", *calls, "]", f"assert results == [{values}]"]


def candidates(payload: Mapping[str, Any]) -> dict[int, str]:
    """New text by line, in order of the lines; one of them mends the first bug."""
    number = payload["bugs"][0][0]
    found = {number: payload["right"][number - 1]}
    found |= {other: text for other, text, _ in payload["others"]}
    return dict(sorted(found.items()))


def task_of(
    task_id: str, split: str, level: int, family: str, payload: Mapping[str, Any]
) -> Task:
    """The task that shows a payload."""
    lines = [*broken(payload), "", *check_lines(payload)]
    text = "\n".join(
        f"{number} {line}".rstrip() for number, line in enumerate(lines, start=1)
    )
    numbers = [str(number) for number, _, _ in payload["bugs"]]
    if len(payload["visible"]) == 1:
        told = payload["bugs"][0][2]
        text += f"\nIt {told}." if told.startswith("raises") else f"\nIt gives {told}."
    else:
        text += "\nThe assertion fails."
    if level == 0:
        shown = (
            f"{number}: {line.strip()}" for number, line in candidates(payload).items()
        )
        text += "\n".join([" Pick the change that mends it:", *shown])
    elif level == 1:
        text += f" Wrong: line {' and '.join(numbers)}."
    elif len(numbers) > 1:
        text += f" {len(numbers)} lines are wrong."
    return Task(task_id, split, level, family, text, payload)


def twin_of(task: Task) -> Task:
    """The same script with its first bug in another line; the same in return."""
    first, *rest = task.payload["bugs"]
    other, *others = task.payload["others"]
    payload = {**task.payload, "bugs": [other, *rest], "others": [first, *others]}
    mark = "-twin"
    own = task.id.removesuffix(mark) if task.id.endswith(mark) else task.id + mark
    return task_of(own, task.split, task.level, task.family, payload)


def _drawn(rng: Random, split: str, level: int, task_id: str) -> Task:
    functions, wrong = (_LONGER if split == "ood/difficulty" else _SIZES)[level]
    owned = snippets(split)
    held_out = split == "ood/composition"
    plans: dict[str, tuple[Snippet, list[Bug], int]] = {}
    while len(plans) < functions:
        one = owned[rng.randrange(len(owned))]
        name = one.key.partition("-")[0]
        if name in plans:
            continue
        others = _CANDIDATES if level == 0 else 2
        plan = _plan(rng, one, held_out, others) if len(plans) < wrong else ([], 0)
        if plan is not None:
            call = plan[1] if plan[0] else rng.randrange(len(one.calls))
            plans[name] = (one, plan[0], call)
    placed = list(plans.values())
    rng.shuffle(placed)
    family = "+".join(sorted(one.key for one, _, _ in placed))
    return task_of(task_id, split, level, family, _payload(rng, placed))


def _plan(
    rng: Random, snippet: Snippet, held_out: bool, wanted: int
) -> tuple[list[Bug], int] | None:
    """Bugs in different lines and a call that each of them fails, and each with the first too.

    Any pair of the bugs fails it, so a change to a line that is right never mends the check.
    """
    own = bugs(snippet, held_out)
    if not own:
        return None
    first = own[rng.randrange(len(own))]
    call = rng.choice(first.fails)
    chosen = [first]
    pool = [*own, *bugs(snippet, False)] if held_out else list(own)
    rng.shuffle(pool)
    for other in pool:
        if len(chosen) == wanted:
            break
        if call in other.fails and all(
            other.line != one.line and _both_fail(snippet, one, other, call)
            for one in chosen
        ):
            chosen.append(other)
    return (chosen, call) if len(chosen) == wanted else None


@cache
def _both_fail(snippet: Snippet, one: Bug, other: Bug, call: int) -> bool:
    lines = snippet.code.split("\n")
    lines[one.line - 1], lines[other.line - 1] = one.text, other.text
    told = _vetted("\n".join(lines), (snippet.calls[call],))
    return bool(told) and not _equal(told[0], snippet.values[call])


def _payload(
    rng: Random, placed: Sequence[tuple[Snippet, list[Bug], int]]
) -> dict[str, Any]:
    names = {"V": rng.choice(_ITEMS), "R": rng.choice(_RESULTS)}

    def named(text: str) -> str:
        return re.sub(r"\b[VR]\b", lambda found: names[found[0]], text)

    right: list[str] = []
    found: dict[str, Any] = {"bugs": [], "others": [], "visible": [], "hidden": []}
    for one, planned, call in placed:
        right += [""] if right else []
        for place, bug in enumerate(planned):
            entry = [len(right) + bug.line, named(bug.text), bug.told[call]]
            found["others" if place else "bugs"].append(entry)
        right += named(one.code).split("\n")
        pairs = [list(pair) for pair in zip(one.calls, one.values, strict=True)]
        found["visible"].append(pairs[call])
        found["hidden"] += pairs[:call] + pairs[call + 1 :]
    return {"right": right, **found}


def _vetted(code: str, calls: tuple[str, ...]) -> tuple[str, ...]:
    """What the calls give; none where that cannot be run, has no end or cannot be shown."""
    try:
        told = outcomes(code, calls)
    except SyntaxError:
        return ()
    shown = all(len(one) <= _TOLD_CHARS and " at 0x" not in one for one in told)
    return told if shown and TIMED_OUT not in told else ()


def _equal(one: str, other: str) -> bool:
    """Whether two results are equal to an assertion, which takes 4.0 for 4."""
    if one == other:
        return True
    try:
        return bool(eval(one, {"nan": None}) == eval(other, {}))
    except (NameError, SyntaxError):
        return False
