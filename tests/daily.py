"""Which part of a large set a run of the tests takes: another each day, all of it with `--all`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

__all__ = ["Day"]

T = TypeVar("T")


@dataclass(frozen=True)
class Day:
    """The day whose samples are taken; with `whole` everything is."""

    date: date
    whole: bool = False

    def __str__(self) -> str:
        return "all of everything" if self.whole else f"the samples of {self.date}"

    def some(self, items: Iterable[T], count: int, name: str = "") -> list[T]:
        """So many of the items, in their order; each has its turn within `len(items) / count` days.

        Sets of the same size that are sampled under different names meet in different pairs.
        """
        everything = list(items)
        if self.whole or count >= len(everything):
            return everything
        order = list(range(len(everything)))
        random.Random(name).shuffle(order)
        first = self.seed * count
        taken = {order[(first + place) % len(order)] for place in range(count)}
        return [item for place, item in enumerate(everything) if place in taken]

    def one(self, items: Sequence[T], name: str = "") -> T:
        """The item whose turn it is, with `--all` the first."""
        return items[0] if self.whole else self.some(items, 1, name)[0]

    @property
    def seed(self) -> int:
        """For what is drawn at random."""
        return self.date.toordinal()

    def count(self, daily: int, whole: int) -> int:
        """How often something random is repeated."""
        return whole if self.whole else daily
