"""Speed, as ratios against a floor or a peer that was measured in the same minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = [
    "CLOCKS",
    "Goal",
    "Row",
    "clock_rows",
    "clocks",
    "comparison",
    "measurement",
    "median_and_interval",
    "ratio_of_pairs",
]

CLOCKS = ("wall", "processor")
DRAWS = 2000
FEWEST_ROUNDS = 3
"""With fewer there is no interval."""

Interval = tuple[float, float]
"""Ends of a 95 % interval."""


@dataclass(frozen=True)
class Goal:
    """What is to be reached.

    | field | meaning |
    |---|---|
    | sign, bound | the quantity is to be at most, or at least, the bound |
    | quantity | the row's ratio, or its own value |
    """

    sign: Literal["<=", ">="]
    bound: float
    quantity: Literal["ratio", "ours"] = "ratio"

    def met(self, value: float) -> bool:
        """Whether the value reaches it."""
        return value <= self.bound if self.sign == "<=" else value >= self.bound


@dataclass(frozen=True)
class Row:
    """One line of the table.

    | field | meaning |
    |---|---|
    | benchmark | its module |
    | name | what was measured |
    | unit | of `ours` and `theirs` |
    | ours, ours_interval | median over the rounds, and its 95 % interval if there are enough |
    | against | the peer or floor; empty without one |
    | theirs | its median |
    | quotient | which way round the ratio is |
    | ratio, interval | median over the rounds, and its 95 % interval if there are enough |
    | goal | what is to be reached |
    | cores, their_cores | seconds of the processor in a second on the wall |
    | place | (curve, x) if the row is a point of a curve |
    """

    benchmark: str
    name: str
    unit: str
    ours: float
    ours_interval: Interval | None = None
    against: str = ""
    theirs: float | None = None
    quotient: Literal["ours / theirs", "theirs / ours"] = "ours / theirs"
    ratio: float | None = None
    interval: Interval | None = None
    goal: Goal | None = None
    cores: float | None = None
    their_cores: float | None = None
    place: tuple[str, float] | None = None

    @property
    def goal_met(self) -> bool | None:
        """Whether the goal is reached; None without a goal or the number it is about."""
        if self.goal is None:
            return None
        value = self.ours if self.goal.quantity == "ours" else self.ratio
        return None if value is None else self.goal.met(value)


def median_and_interval(values: Sequence[float]) -> tuple[float, Interval | None]:
    """The median, and its bootstrapped 95 % interval; None under `FEWEST_ROUNDS` values."""
    sample = np.array(values)
    if len(sample) < FEWEST_ROUNDS:
        return float(np.median(sample)), None
    draws = np.random.default_rng(0).choice(sample, (DRAWS, len(sample)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(np.median(sample)), (float(low), float(high))


def ratio_of_pairs(
    pairs: Sequence[tuple[float, float]],
) -> tuple[float, Interval | None]:
    """Median of one/other over rounds, and its interval as of `median_and_interval`.

    The two of a pair are neighbours in time, so a busy minute affects both.
    """
    return median_and_interval([one / other for one, other in pairs])


def measurement(
    benchmark: str,
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    cores: float | None = None,
    place: tuple[str, float] | None = None,
) -> Row:
    """A row from the value of each round, compared with nothing."""
    ours, interval = median_and_interval(values)
    return Row(benchmark, name, unit, ours, interval, cores=cores, place=place)


def comparison(
    benchmark: str,
    name: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    against: str,
    *,
    quotient: Literal["ours / theirs", "theirs / ours"] = "ours / theirs",
    goal: Goal | None = None,
    cores: float | None = None,
    their_cores: float | None = None,
    place: tuple[str, float] | None = None,
) -> Row:
    """A row from the values of (ours, theirs) in each round."""
    ours, ours_interval = median_and_interval([one for one, _ in pairs])
    if quotient == "ours / theirs":
        ratio, interval = ratio_of_pairs(pairs)
    else:
        ratio, interval = ratio_of_pairs([(theirs, ours) for ours, theirs in pairs])
    return Row(
        benchmark,
        name,
        unit,
        ours,
        ours_interval,
        against=against,
        theirs=float(np.median([other for _, other in pairs])),
        quotient=quotient,
        ratio=ratio,
        interval=interval,
        goal=goal,
        cores=cores,
        their_cores=their_cores,
        place=place,
    )


def clocks() -> np.ndarray:
    """Seconds, by each of CLOCKS: on the wall, and of this process's cores."""
    return np.array([time.perf_counter(), time.process_time()])


def clock_rows(
    benchmark: str,
    name: str,
    unit: str,
    rounds: Sequence[tuple[np.ndarray, np.ndarray]],
    against: str,
    *,
    amounts: Sequence[tuple[float, float]] | None = None,
    goal: Goal | None = None,
) -> list[Row]:
    """A row for each clock, from the seconds of (ours, theirs) in each round, by `CLOCKS`.

    With the `amounts` of (ours, theirs) in each round the values are amounts a second, without them
    milliseconds. The goal is about the wall clock.
    """
    rows: list[Row] = []
    cores, their_cores = (
        float(np.median([side[1] / side[0] for side in sides]))
        for sides in zip(*rounds, strict=True)
    )
    for i, clock in enumerate(CLOCKS):
        pairs = [(1000 * ours[i], 1000 * theirs[i]) for ours, theirs in rounds]
        if amounts is not None:
            pairs = [
                (amount / ours[i], their_amount / theirs[i])
                for (amount, their_amount), (ours, theirs) in zip(
                    amounts, rounds, strict=True
                )
            ]
        is_wall = clock == "wall"
        rows.append(
            comparison(
                benchmark,
                f"{name}, {clock}",
                unit,
                pairs,
                against,
                goal=goal if is_wall else None,
                cores=cores if is_wall else None,
                their_cores=their_cores if is_wall else None,
            )
        )
    return rows
