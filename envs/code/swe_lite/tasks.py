"""The tasks of `swe_lite` by split and level, and their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from envs.code.swe_lite import corpus
from envs.code.swe_lite.corpus import stable_share
from envs.code.swe_lite.table import Row, rows_with_witness
from envs.supply import TaskTable
from envs.types import Task

__all__ = ["REPOSITORY", "idle_source", "rows_in", "task_of", "tasks_of"]

REPOSITORY = 4
"""The level whose tasks have several packages."""

CONTEXT_LINES = 2
NAMED_TESTS = 3
MAX_FUNCTION_LINES = 100
"""Longest function that level 2 shows."""


@cache
def tasks_of(split: str, level: int) -> TaskTable:
    """The tasks of a split at a level, in the table's order."""
    rows = [row for row in _rows_of(split) if _suits(row, level)]
    groups = [[row] for row in rows]
    if level == REPOSITORY:
        groups = _pairs(rows)
    ids = [_task_id(group, split, level) for group in groups]
    by_id = dict(zip(ids, groups, strict=True))

    def make(task_id: str) -> Task:
        """The task of its rows."""
        return task_of(by_id[task_id], split, level)

    return TaskTable(ids, make)


@cache
def _rows_of(split: str) -> tuple[Row, ...]:
    every = rows_with_witness()
    return tuple(row for row in every if row.split == split)


def _suits(row: Row, level: int) -> bool:
    """Whether a row can be a task of a level."""
    if level == 0:
        return bool(row.candidates)
    if level == 2:
        return len(row.function_lines) <= MAX_FUNCTION_LINES
    return True


def task_of(group: Sequence[Row], split: str, level: int) -> Task:
    """The task of one row, or at `REPOSITORY` of several rows of different sources."""
    payload: dict[str, Any]
    if level < REPOSITORY:
        row = group[0]
        payload = row.to_json()
        prompt = _PROMPTS[level](row)
    else:
        idle = idle_source(group)
        payload = {
            "rows": [row.to_json() for row in group],
            "idle": idle,
        }
        sources = [row.source for row in group]
        sources.append(idle)
        prompt = _repository(sources)

    return Task(
        id=_task_id(group, split, level),
        split=split,
        level=level,
        family="+".join(row.family for row in group),
        prompt=prompt,
        payload=payload,
    )


def _task_id(group: Sequence[Row], split: str, level: int) -> str:
    ids = "+".join(row.id for row in group)
    return f"{split}/{level}/{ids}"


def rows_in(task: Task) -> list[Row]:
    """The rows that a task was made of."""
    if task.level == REPOSITORY:
        return [Row.from_json(row) for row in task.payload["rows"]]
    return [Row.from_json(task.payload)]


def idle_source(group: Sequence[Row]) -> str:
    """A third source of the same split for a repository, in which nothing is wrong."""
    key = " ".join(row.id for row in group)
    split = group[0].split
    broken = {row.source for row in group}
    others = set(_sources(split)) - broken

    def share(name: str) -> float:
        """A source's place in an order of this group's own."""
        return stable_share(f"{key} {name}")

    return min(others, key=share)


@cache
def _sources(split: str) -> tuple[str, ...]:
    """Names of the split's sources, in the table's order."""
    names = dict.fromkeys(row.source for row in _rows_of(split))
    return tuple(names)


def _pairs(rows: Sequence[Row]) -> list[list[Row]]:
    """Each row with another one of another source; every row is in two pairs or so."""
    order = sorted(rows, key=_share_for_pairs)
    pairs: dict[tuple[str, str], list[Row]] = {}
    for place, row in enumerate(order):
        partner = _next_of_another_source(order, place)
        if partner is None:
            continue
        # Two rows that choose each other are one pair.
        first, second = sorted((row, partner), key=_id)
        ids = (first.id, second.id)
        pairs[ids] = [first, second]
    return list(pairs.values())


def _share_for_pairs(row: Row) -> float:
    return stable_share(f"pair {row.id}")


def _id(row: Row) -> str:
    return row.id


def _next_of_another_source(order: Sequence[Row], place: int) -> Row | None:
    """The nearest later row, around the end, that breaks another source."""
    source = order[place].source
    for step in range(1, len(order)):
        index = (place + step) % len(order)
        candidate = order[index]
        if candidate.source != source:
            return candidate
    return None


def _choice(row: Row) -> str:
    """Level 0: the wrong lines and the numbered candidates, without indentation."""
    parts = [f"Bug in {row.source}.py:"]
    for line in row.buggy:
        parts.append(line.strip())

    parts.append("Candidates:")
    for number, lines in enumerate(row.candidates, start=1):
        patch = "\n   ".join(line.strip() for line in lines)
        parts.append(f"{number}: {patch}")
    return "\n".join(parts)


def _neighbours(row: Row) -> str:
    """Level 1: the wrong lines are numbered and shown among their neighbours."""
    visible: set[int] = set()
    for number in row.numbers:
        first = number - CONTEXT_LINES
        last = number + CONTEXT_LINES
        visible.update(range(first, last + 1))

    listing = _listing(row.broken, sorted(visible))
    numbers = " and ".join(map(str, row.numbers))
    title = f"Bug in {row.source}.py, line {numbers}:"
    return f"{title}\n{listing}"


def _function(row: Row) -> str:
    """Level 2: the whole function, in which the wrong lines are not marked."""
    listing = _listing(row.broken, row.function_lines)
    title = f"Bug in {row.source}.py, in {row.function}:"
    return f"{title}\n{listing}"


def _file(row: Row) -> str:
    """Level 3: the file and what fails, without the function; only how many in `ood/surface`."""
    source = corpus.source(row.source)
    hidden = source.hidden_ids
    failing = [test for test in row.failing if test not in hidden]
    if row.renamed:
        return f"Bug in {row.source}.py. Tests that fail: {len(failing)}."

    title = f"Bug in {row.source}.py. These tests fail:"
    named_tests = failing[:NAMED_TESTS]
    return "\n".join([title, *named_tests])


def _repository(names: Sequence[str]) -> str:
    """Level 4: the modules, without a word on which are wrong."""
    modules = ", ".join(sorted(names))
    return f"Some tests of this repository fail. Its modules: {modules}."


def _listing(text: str, numbers: Sequence[int]) -> str:
    """Those lines of the text that exist, with their numbers."""
    lines = text.split("\n")
    listing: list[str] = []
    for number in numbers:
        if 1 <= number <= len(lines):
            line = lines[number - 1]
            listing.append(f"{number}: {line}")
    return "\n".join(listing)


_PROMPTS = {0: _choice, 1: _neighbours, 2: _function, 3: _file}
