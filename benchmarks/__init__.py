"""Speed, as ratios against a floor or a peer that was measured in the same minute."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired, TypedDict

import numpy as np

__all__ = ["Row", "medians", "ratio_of_pairs"]

DRAWS = 2000


class Row(TypedDict):
    """One line of the table.

    | field | meaning |
    |---|---|
    | benchmark | module it comes from |
    | name | what was measured |
    | value, unit | median of this machine |
    | ratio | value over that of `against`; None where there is nothing to compare with |
    | against | what the ratio compares with |
    | interval | 95 % of the ratio, where it was taken round by round |
    """

    benchmark: str
    name: str
    value: float
    unit: str
    ratio: float | None
    against: str
    interval: NotRequired[tuple[float, float]]


def ratio_of_pairs(pairs: Sequence[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
    """Median of one/other over rounds, and its bootstrapped 95 % interval.

    The two of a pair are neighbours in time, so a busy minute meets both.
    """
    ratios = np.array([one / other for one, other in pairs])
    drawn = np.random.default_rng(0).choice(ratios, (DRAWS, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), (float(low), float(high))


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
