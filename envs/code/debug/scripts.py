"""Scripts with bugs for `code_debug`: snippets, mutated, and checked to fail and to end."""

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
    "lines_with_bugs",
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
_MIN_FAILING = 3
_MAX_MUTANTS = 16
_RESULT_CHARS, _LINE_CHARS = 40, 64
# What these give differs between processes.
_UNSTABLE = frozenset(
    ["hash", "id", "iter", "map", "zip", "reversed", "enumerate", "ascii"]
)
_ITEMS = ("item", "value", "each", "part", "cur", "step")
_RESULTS = ("result", "found", "acc", "res", "state", "mem")
_TWIN = "-twin"


@dataclass(frozen=True)
class Bug:
    """A wrong line of a snippet.

    | field | meaning |
    |---|---|
    | line | from 1 |
    | text | the wrong line |
    | results | what each of the snippet's calls gives with it |
    | fails | which of the calls give something else than they should |
    """

    line: int
    text: str
    results: tuple[str, ...]
    fails: tuple[int, ...]


@dataclass(frozen=True)
class _Part:
    """A snippet in a script.

    | field | meaning |
    |---|---|
    | snippet | right |
    | bugs | the bug that the script has and then others, in other lines; none: it stays right |
    | call | number of the call that the script's assertion makes |
    """

    snippet: Snippet
    bugs: Sequence[Bug]
    call: int


@cache
def bugs(snippet: Snippet, held_out: bool) -> tuple[Bug, ...]:
    """Mutants that fail at least three of the calls and end on all of them.

    By operators that training uses, or by the others.
    """
    usable = [
        mutation
        for mutation in mutations(snippet.code)
        if mutation.after not in _UNSTABLE
        and (mutation.operator in HELD_OUT_OPERATORS) == held_out
    ]
    # In the order of lines, the first lines would take all places.
    Random(snippet.key).shuffle(usable)
    results: list[Bug] = []
    for mutation in usable[:_MAX_MUTANTS]:
        code = mutate(snippet.code, mutation)
        text = code.split("\n")[mutation.line - 1]
        bug = _bug(snippet, code, mutation.line, text)
        if bug is not None and len(text) <= _LINE_CHARS:
            results.append(bug)
    return tuple(results)


def _bug(snippet: Snippet, code: str, line: int, text: str) -> Bug | None:
    """The bug of a mutant; None if its calls cannot be shown, or too few of them fail."""
    results = _call_results(code, snippet.calls)
    if not results:
        return None
    fails: list[int] = []
    for number, (result, value) in enumerate(zip(results, snippet.values, strict=True)):
        if not _equal(result, value):
            fails.append(number)
    if len(fails) < _MIN_FAILING:
        return None
    return Bug(line, text, results, tuple(fails))


@cache
def tasks_of(split: str, level: int) -> TaskSource:
    """The tasks of a split at a level, each drawn once."""

    def sample(rng: Random, task_id: str) -> Task:
        """A random task of the split and level."""
        return _sample(rng, split, level, task_id)

    return TaskSource("code_debug", split, level, sample)


def lines_with_bugs(payload: Mapping[str, Any]) -> list[str]:
    """The script's code with its bugs, without the check."""
    lines = list(payload["right"])
    for number, text, _ in payload["bugs"]:
        lines[number - 1] = text
    return lines


def check_lines(payload: Mapping[str, Any]) -> list[str]:
    """The end of the script, which asserts."""
    visible = payload["visible"]
    if len(visible) == 1:
        return [f"assert {visible[0][0]} == {visible[0][1]}"]
    calls = [f"    {call}," for call, _ in visible]
    values = ", ".join(value for _, value in visible)
    return ["results = [", *calls, "]", f"assert results == [{values}]"]


def candidates(payload: Mapping[str, Any]) -> dict[int, str]:
    """New text by line, in order of the lines; one of them repairs the first bug."""
    number = payload["bugs"][0][0]
    texts = {number: payload["right"][number - 1]}
    for other_number, text, _ in payload["others"]:
        texts[other_number] = text
    return dict(sorted(texts.items()))


def task_of(
    task_id: str, split: str, level: int, family: str, payload: Mapping[str, Any]
) -> Task:
    """The task that shows a payload."""
    lines = [*lines_with_bugs(payload), "", *check_lines(payload)]
    script = "\n".join(
        f"{number} {line}".rstrip() for number, line in enumerate(lines, start=1)
    )
    prompt = f"{script}\n{_symptom(payload)}{_hint(payload, level)}"
    return Task(task_id, split, level, family, prompt, payload)


def _symptom(payload: Mapping[str, Any]) -> str:
    """What the prompt says of the assertion."""
    if len(payload["visible"]) > 1:
        return "The assertion fails."
    result = payload["bugs"][0][2]
    return f"It {result}." if result.startswith("raises") else f"It gives {result}."


def _hint(payload: Mapping[str, Any], level: int) -> str:
    """What the prompt says of the wrong lines: ever less from level to level."""
    numbers = [str(number) for number, _, _ in payload["bugs"]]
    if level == 0:
        lines = [
            f"{number}: {line.strip()}" for number, line in candidates(payload).items()
        ]
        return "\n".join([" Pick the change that mends it:", *lines])
    if level == 1:
        return f" Wrong: line {' and '.join(numbers)}."
    if len(numbers) > 1:
        return f" {len(numbers)} lines are wrong."
    return ""


def twin_of(task: Task) -> Task:
    """The same script with its first bug in another line; the same in return."""
    first, *rest = task.payload["bugs"]
    other, *others = task.payload["others"]
    payload = {**task.payload, "bugs": [other, *rest], "others": [first, *others]}
    is_twin = task.id.endswith(_TWIN)
    twin_id = task.id.removesuffix(_TWIN) if is_twin else task.id + _TWIN
    return task_of(twin_id, task.split, task.level, task.family, payload)


def _sample(rng: Random, split: str, level: int, task_id: str) -> Task:
    """A random task: functions of different templates, the first of them broken."""
    sizes = _LONGER if split == "ood/difficulty" else _SIZES
    count, count_broken = sizes[level]
    held_out = split == "ood/composition"
    num_bugs = _CANDIDATES if level == 0 else 2
    choices = snippets(split)
    parts: dict[str, _Part] = {}
    while len(parts) < count:
        snippet = choices[rng.randrange(len(choices))]
        name = snippet.key.partition("-")[0]
        # Two versions of a template would define one name twice.
        if name in parts:
            continue
        if len(parts) < count_broken:
            part = _part_with_bugs(rng, snippet, held_out, num_bugs)
        else:
            part = _Part(snippet, [], rng.randrange(len(snippet.calls)))
        if part is not None:
            parts[name] = part

    # The broken ones came first.
    order = list(parts.values())
    rng.shuffle(order)
    family = "+".join(sorted(part.snippet.key for part in order))
    return task_of(task_id, split, level, family, _payload(rng, order))


def _part_with_bugs(
    rng: Random, snippet: Snippet, held_out: bool, num_bugs: int
) -> _Part | None:
    """Bugs in different lines and a call that each of them fails, and each with the first too.

    Any pair of the bugs fails it, so a change to a line that is right never repairs the check.
    None if there are too few such bugs.
    """
    choices = bugs(snippet, held_out)
    if not choices:
        return None
    first = choices[rng.randrange(len(choices))]
    call = rng.choice(first.fails)

    # Only the first bug is in the script, so the others may be by operators of training.
    pool = [*choices, *bugs(snippet, False)] if held_out else list(choices)
    rng.shuffle(pool)
    chosen = [first]
    for bug in pool:
        if len(chosen) == num_bugs:
            break
        if call in bug.fails and _fails_with_each(snippet, chosen, bug, call):
            chosen.append(bug)
    return _Part(snippet, chosen, call) if len(chosen) == num_bugs else None


def _fails_with_each(
    snippet: Snippet, chosen: Sequence[Bug], bug: Bug, call: int
) -> bool:
    return all(
        bug.line != other.line and _both_fail(snippet, other, bug, call)
        for other in chosen
    )


@cache
def _both_fail(snippet: Snippet, first: Bug, second: Bug, call: int) -> bool:
    lines = snippet.code.split("\n")
    lines[first.line - 1] = first.text
    lines[second.line - 1] = second.text
    results = _call_results("\n".join(lines), (snippet.calls[call],))
    return bool(results) and not _equal(results[0], snippet.values[call])


def _payload(rng: Random, parts: Sequence[_Part]) -> dict[str, Any]:
    """The payload of a task; the names that snippets leave open are the same in all of them."""
    names = {"V": rng.choice(_ITEMS), "R": rng.choice(_RESULTS)}

    def fill_names(text: str) -> str:
        """The text with the names that its template leaves open."""
        return re.sub(r"\b[VR]\b", lambda match: names[match[0]], text)

    right: list[str] = []
    planted: list[list[Any]] = []
    others: list[list[Any]] = []
    visible: list[list[str]] = []
    hidden: list[list[str]] = []
    for part in parts:
        if right:
            right.append("")
        for number, bug in enumerate(part.bugs):
            row = [len(right) + bug.line, fill_names(bug.text), bug.results[part.call]]
            (others if number else planted).append(row)
        right += fill_names(part.snippet.code).split("\n")

        calls = zip(part.snippet.calls, part.snippet.values, strict=True)
        pairs = [list(pair) for pair in calls]
        visible.append(pairs.pop(part.call))
        hidden += pairs
    return {
        "right": right,
        "bugs": planted,
        "others": others,
        "visible": visible,
        "hidden": hidden,
    }


def _call_results(code: str, calls: tuple[str, ...]) -> tuple[str, ...]:
    """What the calls give; none if that cannot be run, has no end or cannot be shown."""
    try:
        results = outcomes(code, calls)
    except SyntaxError:
        return ()
    for result in results:
        # An address differs between processes.
        too_long = len(result) > _RESULT_CHARS
        if too_long or " at 0x" in result or result == TIMED_OUT:
            return ()
    return results


def _equal(result: str, value: str) -> bool:
    """Whether two results are equal to an assertion, which takes 4.0 for 4."""
    if result == value:
        return True
    try:
        return bool(eval(result, {"nan": None}) == eval(value, {}))
    except (NameError, SyntaxError):
        return False
