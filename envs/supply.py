"""Tasks by the thousand, counted before they are made: drawn from a seed, or rows of a table."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from random import Random
from threading import Lock
from typing import overload

from envs.types import Task

__all__ = [
    "OTHER_TASKS",
    "TRAIN_TASKS",
    "TaskSource",
    "TaskTable",
    "in_split",
    "split_of",
]

TRAIN_TASKS, OTHER_TASKS = 2000, 300


class TaskSource(Sequence[Task]):
    """The tasks of a split at a level, the same in every process, drawn as far as they are read.

    `draw(rng, task_id)` makes one. If it gives None, or a task that is the `same` as one before,
    it is asked again. Tasks are drawn in order, so looking at the last one draws them all. Threads
    may share it.
    """

    def __init__(
        self,
        name: str,
        split: str,
        level: int,
        draw: Callable[[Random, str], Task | None],
        *,
        same: Callable[[Task], str] = attrgetter("prompt"),
    ) -> None:
        self._cell = f"{split}/{level}"
        self._count = TRAIN_TASKS if split == "train" else OTHER_TASKS
        # Seeded by a text, which Random hashes the same way everywhere.
        self._rng = Random(f"{name} {split} {level}")
        self._draw = draw
        self._same = same
        self._lock = Lock()
        self._tasks: list[Task] = []
        self._problems: set[str] = set()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Task: ...
    @overload
    def __getitem__(self, place: slice) -> list[Task]: ...
    def __getitem__(self, place: int | slice) -> Task | list[Task]:
        """Raises IndexError past the end."""
        if isinstance(place, slice):
            start, stop, step = place.indices(self._count)
            return [self[i] for i in range(start, stop, step)]
        number = range(self._count)[place]
        with self._lock:
            while len(self._tasks) <= number:
                self._draw_next()
        return self._tasks[number]

    def _draw_next(self) -> None:
        """Adds a task, unless nothing is drawn or its problem is there already."""
        task_id = f"{self._cell}/{len(self._tasks)}"
        task = self._draw(self._rng, task_id)
        if task is None:
            return
        problem = self._same(task)
        if problem not in self._problems:
            self._problems.add(problem)
            self._tasks.append(task)

    def find(self, task_id: str) -> Task | None:
        """The task of that id; None if there is none."""
        cell, _, number = task_id.rpartition("/")
        is_number = number.isascii() and number.isdecimal()
        if cell != self._cell or not is_number:
            return None
        place = int(number)
        # An id has no leading zeros.
        if place >= self._count or str(place) != number:
            return None
        return self[place]


class TaskTable(Sequence[Task]):
    """Tasks whose ids are known at once, in this order; each is made when it is first read.

    `make(task_id)` makes one, and always the same. Threads may share it. Raises ValueError for an
    id that comes twice.
    """

    def __init__(self, ids: Iterable[str], make: Callable[[str], Task]) -> None:
        self._ids = tuple(ids)
        self._make = make
        # None until it is made.
        self._tasks: dict[str, Task | None] = dict.fromkeys(self._ids)
        if len(self._tasks) < len(self._ids):
            repeated = Counter(self._ids).most_common(1)[0][0]
            raise ValueError(f"two tasks have the id {repeated}")

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Task: ...
    @overload
    def __getitem__(self, place: slice) -> list[Task]: ...
    def __getitem__(self, place: int | slice) -> Task | list[Task]:
        """Raises IndexError past the end."""
        if isinstance(place, slice):
            return [self._task(task_id) for task_id in self._ids[place]]
        return self._task(self._ids[place])

    def _task(self, task_id: str) -> Task:
        task = self._tasks[task_id]
        # Two threads may both make it: the tasks are equal.
        if task is None:
            task = self._tasks[task_id] = self._make(task_id)
        return task

    def find(self, task_id: str) -> Task | None:
        """The task of that id; None if there is none."""
        return self._task(task_id) if task_id in self._tasks else None


def split_of(family: str, owners: Sequence[str]) -> str:
    """Which of `owners` a family belongs to, by its hash; one that is named twice gets more."""
    digest = hashlib.sha256(family.encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    return owners[number % len(owners)]


def in_split(family: str, split: str, third: str) -> bool:
    """Whether a family of problems that are drawn alike may be used in a split.

    By a hash of it, seven in ten belong to `train`, two to `id`, one to `third`; in other splits
    problems are drawn otherwise, and all belong.
    """
    owners = ["train"] * 7
    owners += ["id"] * 2
    owners.append(third)
    if split not in owners:
        return True
    return split == split_of(family, owners)
