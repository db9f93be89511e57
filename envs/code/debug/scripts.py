"""Scripts with bugs for `code_debug`: snippets, some of them mutated, and an assertion."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from envs.code.debug.mutants import Bug, bugs, fails_with_each
from envs.code.debug.snippets import Snippet, snippets
from envs.supply import TaskSource
from envs.types import Task

__all__ = [
    "lines_with_bugs",
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
_ITEMS = ("item", "value", "each", "part", "cur", "step")
_RESULTS = ("result", "found", "acc", "res", "state", "mem")
_TWIN = "-twin"


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
        ((call, value),) = visible
        return [f"assert {call} == {value}"]

    lines = ["results = ["]
    values: list[str] = []
    for call, value in visible:
        lines.append(f"    {call},")
        values.append(value)
    listed = ", ".join(values)
    return [*lines, "]", f"assert results == [{listed}]"]


def candidates(payload: Mapping[str, Any]) -> dict[int, str]:
    """New text by line, in order of the lines; one of them repairs the first bug."""
    number = payload["bugs"][0][0]
    texts = {number: payload["right"][number - 1]}
    for other_number, text, _ in payload["others"]:
        texts[other_number] = text
    return dict(sorted(texts.items()))


def task_of(
    task_id: str,
    split: str,
    level: int,
    family: str,
    payload: Mapping[str, Any],
) -> Task:
    """The task that shows a payload."""
    script = _numbered_script(payload)
    symptom = _symptom(payload)
    hint = _hint(payload, level)
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=family,
        prompt=f"{script}\n{symptom}{hint}",
        payload=payload,
    )


def _numbered_script(payload: Mapping[str, Any]) -> str:
    """The script with its bugs and its check, as the prompt shows it."""
    lines = [
        *lines_with_bugs(payload),
        "",
        *check_lines(payload),
    ]
    numbered: list[str] = []
    for number, line in enumerate(lines, start=1):
        # An empty line is a number alone.
        numbered.append(f"{number} {line}".rstrip())
    return "\n".join(numbered)


def _symptom(payload: Mapping[str, Any]) -> str:
    """What the prompt says of the assertion."""
    if len(payload["visible"]) > 1:
        return "The assertion fails."
    result = payload["bugs"][0][2]
    return f"It {result}." if result.startswith("raises") else f"It gives {result}."


def _hint(payload: Mapping[str, Any], level: int) -> str:
    """What the prompt says of the wrong lines: ever less from level to level."""
    if level == 0:
        lines = [" Pick the change that mends it:"]
        for number, text in candidates(payload).items():
            lines.append(f"{number}: {text.strip()}")
        return "\n".join(lines)

    numbers = [str(number) for number, _, _ in payload["bugs"]]
    if level == 1:
        listed = " and ".join(numbers)
        return f" Wrong: line {listed}."
    if len(numbers) > 1:
        return f" {len(numbers)} lines are wrong."
    return ""


def twin_of(task: Task) -> Task:
    """The same script with its first bug in another line; the same in return."""
    planted = list(task.payload["bugs"])
    others = list(task.payload["others"])
    planted[0], others[0] = others[0], planted[0]
    payload = {**task.payload, "bugs": planted, "others": others}

    twin_id = task.id + _TWIN
    # The twin's twin is the task itself.
    if task.id.endswith(_TWIN):
        twin_id = task.id.removesuffix(_TWIN)
    return task_of(
        task_id=twin_id,
        split=task.split,
        level=task.level,
        family=task.family,
        payload=payload,
    )


def _sample(rng: Random, split: str, level: int, task_id: str) -> Task:
    """A random task: functions of different templates, the first of them broken."""
    parts = _random_parts(rng, split, level)
    # The broken ones came first.
    rng.shuffle(parts)
    keys = sorted(part.snippet.key for part in parts)
    return task_of(
        task_id=task_id,
        split=split,
        level=level,
        family="+".join(keys),
        payload=_payload(rng, parts),
    )


def _random_parts(rng: Random, split: str, level: int) -> list[_Part]:
    """Snippets of different templates, those with bugs first."""
    sizes = _LONGER if split == "ood/difficulty" else _SIZES
    count, count_broken = sizes[level]
    held_out = split == "ood/composition"
    num_bugs = _CANDIDATES if level == 0 else 2
    choices = snippets(split)

    parts: dict[str, _Part] = {}
    while len(parts) < count:
        snippet = rng.choice(choices)
        name, _, _ = snippet.key.partition("-")
        # Two versions of a template would define one name twice.
        if name in parts:
            continue
        if len(parts) < count_broken:
            part = _part_with_bugs(rng, snippet, held_out, num_bugs)
        else:
            part = _right_part(rng, snippet)
        if part is not None:
            parts[name] = part
    return list(parts.values())


def _right_part(rng: Random, snippet: Snippet) -> _Part:
    """A snippet without a bug, and a random call of it."""
    call = rng.randrange(len(snippet.calls))
    return _Part(snippet, [], call)


def _part_with_bugs(
    rng: Random,
    snippet: Snippet,
    held_out: bool,
    num_bugs: int,
) -> _Part | None:
    """Bugs in different lines and a call that each of them fails, and each with the first too.

    Any pair of the bugs fails it, so a change to a line that is right never repairs the check.
    None if there are too few such bugs.
    """
    choices = bugs(snippet, held_out)
    if not choices:
        return None
    first = rng.choice(choices)
    call = rng.choice(first.fails)

    # Only the first bug is in the script, so the others may be by operators of training.
    pool = list(choices)
    if held_out:
        pool += bugs(snippet, False)
    rng.shuffle(pool)
    chosen = [first]
    for bug in pool:
        if len(chosen) == num_bugs:
            break
        if fails_with_each(snippet, chosen, bug, call):
            chosen.append(bug)
    if len(chosen) < num_bugs:
        return None
    return _Part(snippet, chosen, call)


def _payload(rng: Random, parts: Sequence[_Part]) -> dict[str, Any]:
    """The payload of a task; the names that snippets leave open are the same in all of them."""
    names = {"V": rng.choice(_ITEMS), "R": rng.choice(_RESULTS)}
    right: list[str] = []
    planted: list[list[Any]] = []
    others: list[list[Any]] = []
    visible: list[list[str]] = []
    hidden: list[list[str]] = []
    for part in parts:
        # An empty line between functions.
        if right:
            right.append("")
        rows: list[list[Any]] = []
        for bug in part.bugs:
            number = len(right) + bug.line
            text = _fill_names(bug.text, names)
            rows.append([number, text, bug.results[part.call]])
        planted += rows[:1]
        others += rows[1:]
        code = _fill_names(part.snippet.code, names)
        right += code.split("\n")

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


def _fill_names(text: str, names: Mapping[str, str]) -> str:
    """A snippet's text with the names that its template leaves open."""
    return re.sub(r"\b[VR]\b", lambda match: names[match[0]], text)
