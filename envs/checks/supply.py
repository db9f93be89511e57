"""The supply of tasks: the same in every process, labelled, and split without overlap."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from envs.checks.contract import difference
from envs.checks.env_under_test import EnvUnderTest
from envs.checks.fresh import in_fresh_process
from envs.splits import overlaps
from envs.types import Task

__all__ = ["seeds_decide", "splits_are_disjoint", "tasks_have_labels"]

MAX_OVERLAPS = 10


def seeds_decide(subject: EnvUnderTest) -> Iterator[str]:
    """A seed gives the same task of a split and level in two fresh processes."""

    def lines(hash_seed: int) -> list[str]:
        """The tasks as a process with this hash seed sees them."""
        return in_fresh_process(subject.name, hash_seed=hash_seed)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lines, (1, 2))
    subject.notes.append(f"{len(first)} draws and lists compared")
    yield from difference(
        first,
        second,
        here="in one process",
        there="in another",
    )


def splits_are_disjoint(subject: EnvUnderTest) -> Iterator[str]:
    """No two splits share a family or a problem, and no two tasks an id."""
    problems = overlaps(_all_tasks(subject))
    yield from problems[:MAX_OVERLAPS]
    if len(problems) > MAX_OVERLAPS:
        yield f"{len(problems)} overlaps in all"


def _all_tasks(subject: EnvUnderTest) -> Iterator[Task]:
    for split, level in subject.cells():
        yield from subject.env.tasks(split, level)


def tasks_have_labels(subject: EnvUnderTest) -> Iterator[str]:
    """Every split has tasks at every level, each with its labels, a prompt and a JSON payload."""
    count = 0
    for split, level in subject.cells():
        tasks = subject.env.tasks(split, level)
        count += len(tasks)
        if not tasks:
            yield f"{split} has no tasks at level {level}; remove the level or add some"
        for task in tasks:
            yield from _faults(task, split, level)
    subject.notes.append(f"{count} tasks")


def _faults(task: Task, split: str, level: int) -> Iterator[str]:
    if (task.split, task.level) != (split, level):
        yield f"task {task.id} of {split} level {level} says {task.split} level {task.level}"
    if not task.id.startswith(f"{split}/{level}/"):
        yield f"the id {task.id!r} must begin with {split}/{level}/"
    if not task.prompt.strip() or not task.family:
        yield f"task {task.id} must have a prompt and a family"
    try:
        json.dumps(task.payload)
    except (TypeError, ValueError) as error:
        yield f"the payload of {task.id} must be JSON: {error}"
