"""Is one model better than another on the same tasks, and by how much?

Every model is compared with the first. Tasks are paired by environment, level, split and id;
intervals and p-values are those of `evals.statistics`, clustered by family. Holm's method adjusts the
p-values of all comparisons of one call. A verdict needs both: an interval that leaves 0 out, and
an adjusted p-value under 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evals.comparison.results import Outcomes, Result
from evals.evaluation.suites import Cell
from evals.statistics import PairedTest, paired_test, t_quantile

__all__ = [
    "Comparison",
    "LEVEL",
    "Tax",
    "compare_results",
    "fieller",
    "ood_gain_ratios",
    "holm",
    "verdict",
]

LEVEL = 0.05

Word = Literal["better", "worse", "not shown"]


@dataclass(frozen=True)
class Comparison:
    """One model less the first on one cell.

    | field | meaning |
    |---|---|
    | tasks | tasks that both results hold, without a verdict too |
    | left_out | tasks that only one of them holds |
    | adjusted | the p-value after Holm's method over all comparisons of the call |
    | verdict | of success: never more than interval and adjusted p-value allow |
    """

    cell: Cell
    before: str
    after: str
    tasks: int
    left_out: int
    test: PairedTest
    adjusted: float = math.nan
    verdict: Word = "not shown"


@dataclass(frozen=True)
class Tax:
    """The share of a gain on `id` that arrives on one shift: (OOD gain) / (ID gain).

    `low` and `high` are Fieller's 95 % interval; all three are NaN where the interval of the ID
    gain holds 0, because then any share fits the data.
    """

    shift: Cell
    before: str
    after: str
    value: float
    low: float
    high: float


def compare_results(results: Sequence[Result]) -> list[Comparison]:
    """Every result less the first, cell by cell. Raises ValueError where no task is common."""
    first, *others = results
    if not others:
        raise ValueError(
            "got one result, wanted at least two: name another run or evaluation"
        )
    found = [
        _comparison(cell, first, other)
        for other in others
        for cell in first.cells
        if cell in other.cells
    ]
    for other in others:
        if not any(c.after == other.label and c.tasks for c in found):
            raise ValueError(
                f"{first.name} and {other.name} have no task in common; evaluate both with the "
                "same --envs, --levels and --seed"
            )
    found = [comparison for comparison in found if comparison.tasks]
    adjusted = holm([comparison.test.p_value for comparison in found])
    return [
        replace(comparison, adjusted=p, verdict=verdict(comparison.test, p))
        for comparison, p in zip(found, adjusted, strict=True)
    ]


def ood_gain_ratios(comparisons: Sequence[Comparison]) -> list[Tax]:
    """One for every shift whose environment, level and models have an `id` comparison."""
    at = {(c.cell.env, c.cell.level, c.cell.split, c.after): c for c in comparisons}
    taxes = []
    for shift in comparisons:
        cell = shift.cell
        own = at.get((cell.env, cell.level, "id", shift.after))
        if own is not None and cell.split.startswith("ood/"):
            taxes.append(
                Tax(cell, shift.before, shift.after, *fieller(shift.test, own.test))
            )
    return taxes


def verdict(test: PairedTest, adjusted: float) -> Word:
    """What may be said of a difference."""
    if not adjusted < LEVEL:
        return "not shown"
    estimate = test.estimate
    return (
        "better" if estimate.low > 0 else "worse" if estimate.high < 0 else "not shown"
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979), in the order given; NaN stays NaN and is not counted."""
    adjusted = [math.nan] * len(p_values)
    order = sorted(
        (i for i, p in enumerate(p_values) if not math.isnan(p)),
        key=p_values.__getitem__,
    )
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, p_values[i] * (len(order) - rank)))
        adjusted[i] = least
    return adjusted


def fieller(top: PairedTest, bottom: PairedTest) -> tuple[float, float, float]:
    """The ratio of two independent differences and its 95 % interval (Fieller 1954).

    NaN three times where the interval of `bottom` holds 0: the ratio's is then unbounded.
    Student's t has the fewer degrees of freedom of the two.
    """
    a, b = top.estimate.value, bottom.estimate.value
    freedom = min(top.freedom, bottom.freedom)
    if math.isnan(freedom) or math.isnan(a) or math.isnan(b):
        return math.nan, math.nan, math.nan
    t = t_quantile(freedom)
    spread = b**2 - (t * bottom.error) ** 2
    if spread <= 0:
        return math.nan, math.nan, math.nan
    root = math.sqrt((a * b) ** 2 - spread * (a**2 - (t * top.error) ** 2))
    return a / b, (a * b - root) / spread, (a * b + root) / spread


def _comparison(cell: Cell, first: Result, other: Result) -> Comparison:
    before, after = first.cells[cell], other.cells[cell]
    common = [task for task in before if task in after]
    for task in common:
        if before[task].content != after[task].content:
            raise ValueError(
                f"mixed versions: {task} says one thing in {first.name} and another in "
                f"{other.name}; evaluate both again with the same code"
            )
    test = paired_test(
        _table([before[task] for task in common]),
        _table([after[task] for task in common]),
        [before[task].family for task in common],
    )
    left_out = len(before) + len(after) - 2 * len(common)
    return Comparison(cell, first.label, other.label, len(common), left_out, test)


def _table(tasks: Sequence[Outcomes]) -> np.ndarray:
    """(N, K) outcomes, filled up with NaN."""
    width = max((len(task.outcomes) for task in tasks), default=1)
    table = np.full((len(tasks), max(width, 1)), math.nan)
    for row, task in zip(table, tasks, strict=True):
        row[: len(task.outcomes)] = task.outcomes
    return table
