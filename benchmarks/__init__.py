"""Speed, as ratios against a floor or a peer that was measured in the same minute."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypedDict

__all__ = ["Row", "medians"]


class Row(TypedDict):
    """One line of the table.

    | field | meaning |
    |---|---|
    | benchmark | module it comes from |
    | name | what was measured |
    | value, unit | median of this machine |
    | ratio | value over that of `against`; None where there is nothing to compare with |
    | against | what the ratio compares with |
    """

    benchmark: str
    name: str
    value: float
    unit: str
    ratio: float | None
    against: str


def medians(deeds: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each deed, done in turn so that a noisy minute hits them alike."""
    times: dict[str, list[float]] = {name: [] for name in deeds}
    for number in range(rounds + 1):
        for name, deed in deeds.items():
            begun = time.perf_counter()
            deed()
            if number:
                times[name].append(1000 * (time.perf_counter() - begun))
    return {name: statistics.median(took) for name, took in times.items()}
