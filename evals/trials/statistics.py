"""Means over seeds, and differences of two methods paired by seed and task.

A seed's runs are the observations: tasks are the same for all, and runs of one seed in several
cells count as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evals.statistics import noncentrality, t_quantile, t_two_sided
from evals.trials.data import TrialRow

__all__ = [
    "ASSUMED_DEVIATION",
    "Difference",
    "Measure",
    "SeedMean",
    "detectable",
    "difference",
    "measures",
    "replication_chance",
    "seed_mean",
    "unpaired_difference",
]

ASSUMED_DEVIATION = 0.10
"""Of a paired difference between seeds, until two seeds say what it is."""

Measure = Callable[[TrialRow], float | None]
"""A number of a run; None if it has none."""


@dataclass(frozen=True)
class SeedMean:
    """Mean over seeds with its 95 % t interval.

    | field | meaning |
    |---|---|
    | low, high | NaN with fewer than two seeds |
    | deviation | standard deviation between seeds |
    | p_value | two-sided, of a mean of 0; NaN with fewer than two seeds |
    """

    value: float
    low: float
    high: float
    seeds: int
    deviation: float
    p_value: float

    def covers(self, value: float) -> bool:
        """Whether the interval holds `value`."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Difference:
    """Method `after` less method `before` on a measure, in one cell or over all."""

    after: str
    before: str
    measure: str
    cell: str
    mean: SeedMean


def measures() -> dict[str, Measure]:
    """Name -> what is compared: of `id`, of all shifts together, and of the training itself."""
    return {
        "id avg@k": lambda row: _average(row, is_shift=False),
        "ood avg@k": lambda row: _average(row, is_shift=True),
        "id pass@k": _at_least_one,
        "area": TrialRow.area,
    }


def seed_mean(values: Sequence[float]) -> SeedMean:
    """The mean of one value for each seed. Raises ValueError without any."""
    if not values:
        raise ValueError("got no values, expected one for each seed")
    numbers = np.asarray(values, dtype=float)
    value, count = float(numbers.mean()), len(numbers)
    if count < 2:
        return SeedMean(value, math.nan, math.nan, count, math.nan, math.nan)
    deviation = float(numbers.std(ddof=1))
    error = deviation / math.sqrt(count)
    half = t_quantile(count - 1) * error
    p_value = t_two_sided(value / error, count - 1) if error else float(value == 0)
    return SeedMean(value, value - half, value + half, count, deviation, p_value)


def difference(
    rows: Sequence[TrialRow],
    after: str,
    before: str,
    cells: Sequence[str],
    measure: Measure,
) -> SeedMean | None:
    """Mean over seeds of (after - before), each seed's mean over `cells`.

    A seed counts if both methods have a run of it in every cell; None if no seed does.
    """
    values: dict[tuple[str, str, int], float] = {}
    for row in rows:
        value = measure(row)
        if row.stage == "trial" and value is not None:
            values[row.cell, row.method, row.seed] = value
    seeds = sorted({seed for _, _, seed in values})
    differences: list[float] = []
    for seed in seeds:
        pairs = [
            (values.get((cell, after, seed)), values.get((cell, before, seed)))
            for cell in cells
        ]
        gains = [a - b for a, b in pairs if a is not None and b is not None]
        if gains and len(gains) == len(cells):
            differences.append(float(np.mean(gains)))
    return seed_mean(differences) if differences else None


def unpaired_difference(after: Sequence[float], before: Sequence[float]) -> SeedMean:
    """Mean of `after` less mean of `before`, runs of different seeds: Welch's t interval.

    Not scipy's, which warns of runs that are all alike.

    Raises ValueError without any; with one seed on a side the interval is NaN.
    """
    first, second = seed_mean(before), seed_mean(after)
    value = second.value - first.value
    seeds = min(first.seeds, second.seeds)
    if seeds < 2:
        return SeedMean(value, math.nan, math.nan, seeds, math.nan, math.nan)
    variances = [mean.deviation**2 / mean.seeds for mean in (first, second)]
    error = math.sqrt(sum(variances))
    if not error:
        return SeedMean(value, value, value, seeds, math.nan, float(value == 0))
    freedom = error**4 / sum(
        variance**2 / (mean.seeds - 1)
        for variance, mean in zip(variances, (first, second), strict=True)
    )
    half = float(stats.t.ppf(0.975, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(value) / error, freedom))
    return SeedMean(value, value - half, value + half, seeds, math.nan, p_value)


def replication_chance(first: int, second: int) -> float:
    """Chance that the mean of `second` seeds lies in the 95 % interval of that of `first` seeds.

    If nothing differs but the seeds. The two means differ by the variance of both, so this is less
    than 95 %: of seeds 8 and 8 it is 86 %. NaN for one first seed.
    """
    if first < 2:
        return math.nan
    bound = t_quantile(first - 1) / math.sqrt(1 + first / second)
    return float(2 * stats.t.cdf(bound, first - 1) - 1)


def detectable(seeds: int, deviation: float) -> float:
    """The smallest true difference that `seeds` pairs show four times in five; NaN for one seed."""
    if seeds < 2:
        return math.nan
    return noncentrality(seeds - 1) * deviation / math.sqrt(seeds)


def _average(row: TrialRow, *, is_shift: bool) -> float | None:
    values = [
        outcomes.average()
        for split, outcomes in row.outcomes.items()
        if (split != "id") is is_shift and outcomes.has_verdict()
    ]
    return float(np.mean(values)) if values else None


def _at_least_one(row: TrialRow) -> float | None:
    outcomes = row.outcomes.get("id")
    if outcomes is None or not outcomes.has_verdict():
        return None
    return outcomes.at_least_one()
