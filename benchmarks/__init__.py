"""Speed, as ratios against a floor or a peer that was measured in the same minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np

__all__ = ["CLOCKS", "Row", "clocks", "rate_rows", "ratio_of_pairs"]

CLOCKS = ("wall", "processor")

DRAWS = 2000


class Row(TypedDict):
    """One line of the table.

    | field | meaning |
    |---|---|
    | benchmark | its module |
    | name | what was measured |
    | value, unit | median of this machine |
    | ratio | value over that of `against`; None where there is nothing to compare with |
    | against | what the ratio compares with |
    | interval | 95 % of the ratio, if it was measured round by round |
    """

    benchmark: str
    name: str
    value: float
    unit: str
    ratio: float | None
    against: str
    interval: NotRequired[tuple[float, float]]


def ratio_of_pairs(
    pairs: Sequence[tuple[float, float]],
) -> tuple[float, tuple[float, float]]:
    """Median of one/other over rounds, and its bootstrapped 95 % interval.

    The two of a pair are neighbours in time, so a busy minute affects both.
    """
    ratios = np.array([one / other for one, other in pairs])
    samples = np.random.default_rng(0).choice(ratios, (DRAWS, len(ratios)))
    low, high = np.percentile(np.median(samples, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), (float(low), float(high))


def clocks() -> np.ndarray:
    """Seconds, by each of CLOCKS: on the wall, and of this process's cores."""
    return np.array([time.perf_counter(), time.process_time()])


def rate_rows(
    benchmark: str,
    name: str,
    rounds: Sequence[tuple[np.ndarray, np.ndarray]],
    against: str,
) -> list[Row]:
    """A row for each clock, from the tokens per second of (ours, theirs) in each round."""
    rows = []
    for i, clock in enumerate(CLOCKS):
        pairs = [(ours[i], theirs[i]) for ours, theirs in rounds]
        ratio, interval = ratio_of_pairs(pairs)
        rows.append(
            Row(
                benchmark=benchmark,
                name=f"{name}, {clock}",
                value=float(np.median([ours for ours, _ in pairs])),
                unit="tokens/s",
                ratio=ratio,
                against=against,
                interval=interval,
            )
        )
    return rows
