"""The tasks of `swe_lite` by split and level, and their prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from envs.code.swe_lite import corpus
from envs.code.swe_lite.corpus import stable_share
from envs.code.swe_lite.table import Row, rows_with_witness
from envs.types import Task

__all__ = ["REPOSITORY", "idle_source", "rows_in", "task_of", "tasks_of"]

REPOSITORY = 4
"""The level whose tasks have several packages."""

CONTEXT_LINES = 2
NAMED_TESTS = 3
MAX_FUNCTION_LINES = 100
"""Longest function that level 2 shows."""


@cache
def tasks_of(split: str, level: int) -> Mapping[str, Task]:
    """The tasks of a split at a level, by id, in the table's order."""
    rows = [row for row in rows_with_witness() if row.split == split]
    if level == 0:
        rows = [row for row in rows if row.candidates]
    elif level == 2:
        rows = [row for row in rows if len(row.function_lines) <= MAX_FUNCTION_LINES]

    groups = [[row] for row in rows] if level < REPOSITORY else _pairs(rows)
    tasks = [task_of(group, split, level) for group in groups]
    return {task.id: task for task in tasks}


def task_of(group: Sequence[Row], split: str, level: int) -> Task:
    """The task of one row, or at `REPOSITORY` of several rows of different sources."""
    if level < REPOSITORY:
        payload, prompt = group[0].to_json(), _PROMPTS[level](group[0])
    else:
        idle = idle_source(group)
        payload = {"rows": [row.to_json() for row in group], "idle": idle}
        prompt = _repository([*(row.source for row in group), idle])
    return Task(
        id=f"{split}/{level}/{'+'.join(row.id for row in group)}",
        split=split,
        level=level,
        family="+".join(row.family for row in group),
        prompt=prompt,
        payload=payload,
    )


def rows_in(task: Task) -> list[Row]:
    """The rows that a task was made of."""
    data = task.payload["rows"] if task.level == REPOSITORY else [task.payload]
    return [Row.from_json(row) for row in data]


def idle_source(group: Sequence[Row]) -> str:
    """A third source of the same split for a repository, in which nothing is wrong."""
    others = set(_sources(group[0].split)) - {row.source for row in group}
    key = " ".join(row.id for row in group)
    return min(others, key=lambda name: stable_share(f"{key} {name}"))


@cache
def _sources(split: str) -> tuple[str, ...]:
    rows = [row for row in rows_with_witness() if row.split == split]
    return tuple(dict.fromkeys(row.source for row in rows))


def _pairs(rows: Sequence[Row]) -> list[list[Row]]:
    """Each row with another one of another source; every row is in two pairs or so."""
    order = sorted(rows, key=lambda row: stable_share(f"pair {row.id}"))
    pairs: dict[tuple[str, str], list[Row]] = {}
    for place, row in enumerate(order):
        partner = _next_of_another_source(order, place)
        # Two rows that choose each other are one pair.
        if partner is not None:
            pair = sorted((row, partner), key=lambda member: member.id)
            pairs[pair[0].id, pair[1].id] = pair
    return [*pairs.values()]


def _next_of_another_source(order: Sequence[Row], place: int) -> Row | None:
    for step in range(1, len(order)):
        candidate = order[(place + step) % len(order)]
        if candidate.source != order[place].source:
            return candidate
    return None


def _choice(row: Row) -> str:
    """Level 0: the wrong lines and the numbered candidates, without indentation."""
    parts = [f"Bug in {row.source}.py:", *(line.strip() for line in row.buggy)]
    parts.append("Candidates:")
    for number, lines in enumerate(row.candidates, start=1):
        patch = "\n   ".join(line.strip() for line in lines)
        parts.append(f"{number}: {patch}")
    return "\n".join(parts)


def _neighbours(row: Row) -> str:
    """Level 1: the wrong lines are numbered and shown among their neighbours."""
    visible: set[int] = set()
    for number in row.numbers:
        visible.update(range(number - CONTEXT_LINES, number + CONTEXT_LINES + 1))
    listing = _listing(row.broken.split("\n"), sorted(visible))
    numbers = " and ".join(map(str, row.numbers))
    return f"Bug in {row.source}.py, line {numbers}:\n{listing}"


def _function(row: Row) -> str:
    """Level 2: the whole function, in which the wrong lines are not marked."""
    listing = _listing(row.broken.split("\n"), row.function_lines)
    return f"Bug in {row.source}.py, in {row.function}:\n{listing}"


def _file(row: Row) -> str:
    """Level 3: the file and what fails, without the function; only how many in `ood/surface`."""
    hidden = corpus.source(row.source).hidden_ids
    failing = [test for test in row.failing if test not in hidden]
    if row.renamed:
        return f"Bug in {row.source}.py. Tests that fail: {len(failing)}."
    title = f"Bug in {row.source}.py. These tests fail:"
    return "\n".join([title, *failing[:NAMED_TESTS]])


def _repository(names: Sequence[str]) -> str:
    """Level 4: the modules, without a word on which are wrong."""
    modules = ", ".join(sorted(names))
    return f"Some tests of this repository fail. Its modules: {modules}."


def _listing(text: Sequence[str], numbers: Sequence[int]) -> str:
    return "\n".join(f"{n}: {text[n - 1]}" for n in numbers if 1 <= n <= len(text))


_PROMPTS = {0: _choice, 1: _neighbours, 2: _function, 3: _file}
