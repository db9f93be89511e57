"""Is one model better than another on the same tasks, and by how much?

Every model is compared with the first. Tasks are paired by environment, level, split and id;
intervals and p-values are those of `evals.statistics`, clustered by family. Holm's method adjusts
the p-values of all comparisons of one call. A verdict needs both: an interval that leaves 0 out,
and an adjusted p-value under 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evals.comparison.results import Result, TaskOutcomes
from evals.evaluation.suites import Suite
from evals.statistics import PairedTest, paired_t_test, t_quantile

__all__ = [
    "ALPHA",
    "Comparison",
    "GainRatio",
    "compare_results",
    "fieller",
    "holm",
    "ood_gain_ratios",
    "verdict",
]

ALPHA = 0.05

Word = Literal["better", "worse", "not shown"]


@dataclass(frozen=True)
class Comparison:
    """One model less the first on one suite.

    | field | meaning |
    |---|---|
    | tasks | tasks that both results hold, errored ones included |
    | left_out | tasks that only one of them holds |
    | adjusted | the p-value after Holm's method over all comparisons of the call |
    | verdict | of success: never more than interval and adjusted p-value allow |
    """

    suite: Suite
    before: str
    after: str
    tasks: int
    left_out: int
    test: PairedTest
    adjusted: float = math.nan
    verdict: Word = "not shown"


@dataclass(frozen=True)
class GainRatio:
    """The OOD-to-ID gain ratio: the share of a gain on `id` that arrives on one shift.

    (gain on the shift) / (gain on `id`), so 1 is full transfer. `low` and `high` are Fieller's
    95 % interval; all three are NaN if the interval of the ID gain holds 0, because then any
    share fits the data.
    """

    shift: Suite
    before: str
    after: str
    value: float
    low: float
    high: float


def compare_results(results: Sequence[Result]) -> list[Comparison]:
    """Every result less the first, suite by suite. Raises ValueError if no task is common."""
    first, *others = results
    if not others:
        raise ValueError(
            "got one result, expected at least two: name another run or evaluation"
        )

    comparisons: list[Comparison] = []
    for other in others:
        common = [
            _comparison(suite, first, other)
            for suite in first.suites
            if suite in other.suites
        ]
        common = [comparison for comparison in common if comparison.tasks]
        if not common:
            raise ValueError(
                f"{first.name} and {other.name} have no task in common; evaluate both with the "
                "same --envs, --levels and --seed"
            )
        comparisons += common

    # Over all comparisons at once: each further one is another chance to be wrong.
    adjusted = holm([comparison.test.p_value for comparison in comparisons])
    return [
        replace(comparison, adjusted=p, verdict=verdict(comparison.test, p))
        for comparison, p in zip(comparisons, adjusted, strict=True)
    ]


def ood_gain_ratios(comparisons: Sequence[Comparison]) -> list[GainRatio]:
    """One for every shift whose environment, level and models have an `id` comparison."""
    by_suite = {(c.suite, c.after): c for c in comparisons}
    ratios = []
    for shift in comparisons:
        if shift.suite.split.startswith("ood/"):
            on_id = by_suite.get((replace(shift.suite, split="id"), shift.after))
            if on_id is not None:
                ratio = fieller(shift.test, on_id.test)
                ratios.append(GainRatio(shift.suite, shift.before, shift.after, *ratio))
    return ratios


def verdict(test: PairedTest, adjusted: float) -> Word:
    """The verdict on a difference."""
    # A NaN is not below ALPHA either.
    if not adjusted < ALPHA:
        return "not shown"
    if test.estimate.low > 0:
        return "better"
    return "worse" if test.estimate.high < 0 else "not shown"


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979), in the order given; NaN stays NaN and is not counted."""
    adjusted = [math.nan] * len(p_values)
    order = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    order.sort(key=lambda i: p_values[i])
    lowest = 0.0
    for rank, i in enumerate(order):
        left = len(order) - rank
        p = min(1.0, p_values[i] * left)
        # An adjusted p-value is never below that of a smaller one.
        lowest = max(lowest, p)
        adjusted[i] = lowest
    return adjusted


def fieller(top: PairedTest, bottom: PairedTest) -> tuple[float, float, float]:
    """The ratio of two independent differences and its 95 % interval (Fieller 1954).

    NaN three times if the interval of `bottom` holds 0: the ratio's is then unbounded.
    Student's t has the fewer degrees of freedom of the two.
    """
    unknown = (math.nan, math.nan, math.nan)
    a, b = top.estimate.value, bottom.estimate.value
    freedom = min(top.freedom, bottom.freedom)
    if math.isnan(freedom) or math.isnan(a) or math.isnan(b):
        return unknown

    # The ends solve (a - r b)^2 = t^2 (top.error^2 + r^2 bottom.error^2) for r, which is
    # quadratic: square * r^2 - 2 a b r + constant = 0.
    t = t_quantile(freedom)
    square = b**2 - (t * bottom.error) ** 2
    constant = a**2 - (t * top.error) ** 2
    if square <= 0:
        return unknown
    product = a * b
    root = math.sqrt(product**2 - square * constant)
    low = (product - root) / square
    high = (product + root) / square
    return a / b, low, high


def _comparison(suite: Suite, first: Result, other: Result) -> Comparison:
    before, after = first.suites[suite], other.suites[suite]
    common = [task for task in before if task in after]
    for task in common:
        if _differ(before[task].content, after[task].content):
            raise ValueError(
                f"mixed versions: {task} says one thing in {first.name} and another in "
                f"{other.name}; evaluate both again with the same code"
            )

    test = paired_t_test(
        _table([before[task] for task in common]),
        _table([after[task] for task in common]),
        [before[task].family for task in common],
    )
    # Widened evaluations of one suite may hold tasks that the other lacks.
    either = set(before) | set(after)
    return Comparison(
        suite,
        first.label,
        other.label,
        tasks=len(common),
        left_out=len(either) - len(common),
        test=test,
    )


def _differ(before: str, after: str) -> bool:
    """Whether two hashes say that two contents differ: hashes of two harnesses say nothing."""
    same_kind = before.rpartition(" ")[0] == after.rpartition(" ")[0]
    return bool(before and after) and same_kind and before != after


def _table(tasks: Sequence[TaskOutcomes]) -> np.ndarray:
    """(N, K) outcomes, filled up with NaN."""
    width = max((len(task.outcomes) for task in tasks), default=1)
    shape = (len(tasks), max(width, 1))
    table = np.full(shape, math.nan)
    for row, task in zip(table, tasks, strict=True):
        count = len(task.outcomes)
        row[:count] = task.outcomes
    return table
