"""Samples of large sets that change with the day; `--all` takes everything."""

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
    """The day whose samples are tested; with `whole` everything is."""

    date: date
    whole: bool = False

    def __str__(self) -> str:
        return "all of everything" if self.whole else f"the samples of {self.date}"

    def some(self, items: Iterable[T], count: int, name: str = "") -> list[T]:
        """`count` of the items, in their order; each is chosen within `len(items) / count` days.

        Two sets of one size are sampled in different orders if their names differ.
        """
        all_items = list(items)
        if self.whole or count >= len(all_items):
            return all_items
        order = list(range(len(all_items)))
        random.Random(name).shuffle(order)
        first = self.seed * count
        chosen = {order[(first + place) % len(order)] for place in range(count)}
        return [item for place, item in enumerate(all_items) if place in chosen]

    def one(self, items: Sequence[T], name: str = "") -> T:
        """The item of the day; with `--all` the first."""
        return items[0] if self.whole else self.some(items, 1, name)[0]

    @property
    def seed(self) -> int:
        """Seed of the day's random draws."""
        return self.date.toordinal()

    def count(self, daily: int, whole: int) -> int:
        """How often a random trial is repeated."""
        return whole if self.whole else daily
