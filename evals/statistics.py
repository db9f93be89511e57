"""Success rates, their 95 % intervals and paired differences. Pure functions of arrays.

Outcomes are arrays (N tasks, K rollouts): 1.0 solved, 0.0 not solved, NaN for an episode that
errored or was not played. NaN is left out, never averaged in.

Tasks of one family resemble each other, so the family is what a repeated evaluation would draw
again: variances are sums over families, and Student's t has as many degrees of freedom as there
are families of equal size that weigh as much (Kish), less one. A bootstrap over families is too
narrow with 5 to 30 of them. If an environment has fewer than `MIN_FAMILIES`, tasks are the
clusters; the interval then holds for these families alone, and `Estimate.clustered_by` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import nctdtr, stdtr, stdtrit

__all__ = [
    "MIN_FAMILIES",
    "Estimate",
    "PairedTest",
    "detectable",
    "mean_estimate",
    "noncentrality",
    "paired_t_test",
    "pass_at_k",
    "pass_hat_k",
    "success_difference",
    "success_rate",
    "t_quantile",
    "t_two_sided",
]

MIN_FAMILIES = 5

POWER = 0.8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval.

    | field | meaning |
    |---|---|
    | value | mean over tasks of the task's mean over rollouts; NaN without any task |
    | low, high | NaN with fewer than two clusters |
    | tasks | tasks that count: those with at least one verdict (of each model, for a difference) |
    | episodes | verdicts that count (of both models, for a difference) |
    | clusters | how many clusters the interval rests on |
    | clustered_by | `family`, or `task` if the families are too few |
    """

    value: float
    low: float
    high: float
    tasks: int
    episodes: int
    clusters: int
    clustered_by: Literal["family", "task"]


def success_rate(outcomes: ArrayLike, families: Sequence[str]) -> Estimate:
    """Mean success (avg@k) over tasks. (N, K), (N,).

    The interval is Wilson's with t for z, on the number of independent episodes that would have
    the observed variance, at most the episodes there are. If every verdict is the same, the data
    do not show how alike a family's tasks are, so each cluster counts as one episode: 0 of 1600
    in 25 families gives 0 to 15 %.
    """
    table = _table(outcomes, families)
    rates, counts = _task_rates(table)
    graded = counts > 0
    clusters = _Clusters.of(families, graded)
    rates = rates[graded]
    episodes = int(counts.sum())
    value = _mean(rates)

    low = high = math.nan
    if clusters.count > 1:
        spread = value * (1 - value)
        variance = clusters.variance(rates - value)

        # Equal verdicts have no variance to divide by: see the docstring.
        if spread == 0.0:
            independent = float(clusters.count)
        elif variance > 0:
            independent = min(spread / variance, episodes)
        else:
            independent = float(episodes)
        low, high = _wilson(value, independent, clusters.t)

    return clusters.estimate(value, low, high, episodes)


def mean_estimate(
    values: ArrayLike, families: Sequence[str], episodes: int, *, lowest: float = 0.0
) -> Estimate:
    """Mean over tasks of a number (N,) in [lowest, 1], (N,). NaN: a task that does not count.

    The interval is t over cluster sums; `episodes` is the count behind the numbers.
    """
    numbers = np.asarray(values, dtype=np.float64)
    counts = ~np.isnan(numbers)
    clusters = _Clusters.of(families, counts)
    numbers = numbers[counts]
    value = _mean(numbers)

    low = high = math.nan
    if clusters.count > 1:
        variance = clusters.variance(numbers - value)
        half = clusters.t * math.sqrt(variance)
        # An interval of shares stays among the shares.
        low = max(lowest, value - half)
        high = min(1.0, value + half)

    return clusters.estimate(value, low, high, episodes)


def success_difference(
    before: ArrayLike, after: ArrayLike, families: Sequence[str]
) -> Estimate:
    """Mean over tasks of (success after - success before). (N, K), (N, K'), (N,).

    Row i of both is the same task; a task counts only if both models have a verdict. The
    interval is t over cluster sums. Its standard error has a floor of sqrt(2) / (n + 2), as if one
    more pair had differed each way (Bonett and Price 2012): n is the paired episodes, or the
    clusters if all tasks differ by the same amount.
    """
    return paired_t_test(before, after, families).estimate


@dataclass(frozen=True)
class PairedTest:
    """A paired difference with what its interval is made of.

    | field | meaning |
    |---|---|
    | error, freedom | standard error and degrees of freedom; NaN with fewer than two clusters |
    | p_value | two-sided, of no difference: under 0.05 exactly if the interval leaves 0 out |
    """

    estimate: Estimate
    error: float
    freedom: float
    p_value: float

    @property
    def detectable(self) -> float:
        """The smallest true difference that this test would show four times in five.

        With the standard error that was observed; at most 1, NaN with fewer than two clusters.
        """
        if math.isnan(self.error):
            return math.nan
        return min(1.0, noncentrality(self.freedom) * self.error)


def paired_t_test(
    before: ArrayLike, after: ArrayLike, families: Sequence[str]
) -> PairedTest:
    """`success_difference` and its p-value."""
    rates_before, counts_before = _task_rates(_table(before, families))
    rates_after, counts_after = _task_rates(_table(after, families))

    # A task that only one of the models has a verdict on is no pair.
    pairs = (counts_before > 0) & (counts_after > 0)
    clusters = _Clusters.of(families, pairs)
    differences = rates_after[pairs] - rates_before[pairs]
    counts = counts_before + counts_after
    episodes = int(counts[pairs].sum())
    value = _mean(differences)

    low = high = error = freedom = p_value = math.nan
    if clusters.count > 1:
        # The floor keeps a few equal differences from looking certain.
        equal = np.ptp(differences) == 0
        n = clusters.count if equal else episodes / 2
        floor = math.sqrt(2) / (n + 2)
        variance = clusters.variance(differences - value)
        error = max(math.sqrt(variance), floor)

        freedom = clusters.freedom
        half = clusters.t * error
        low = max(-1.0, value - half)
        high = min(1.0, value + half)
        p_value = t_two_sided(value / error, freedom)

    estimate = clusters.estimate(value, low, high, episodes)
    return PairedTest(estimate, error, freedom, p_value)


def detectable(families: Sequence[str], rollouts: int) -> float:
    """The smallest true difference of two models that a paired test shows four times in five.

    (N,), for that many rollouts of each task by each model. For tasks that are solved every other
    time, which scatter most, and for families that gain alike; NaN with one cluster.
    """
    tasks = len(families)
    clusters = _Clusters.of(families, np.ones(tasks, dtype=bool))
    if clusters.count < 2:
        return math.nan
    # The variance of one verdict is 1/4, and a difference has two models' worth of it.
    variance = 2 * 0.25 / (tasks * rollouts)
    error = math.sqrt(variance)
    return min(1.0, noncentrality(clusters.freedom) * error)


def pass_at_k(outcomes: ArrayLike, k: int) -> Floats:
    """(N,) chance that at least one of k rollouts solves the task, unbiased (arXiv:2107.03374).

    With n verdicts, c of them solved: 1 - C(n - c, k) / C(n, k); NaN if n < k.
    """

    def estimate(n: int, c: int) -> float:
        """The chance for one task."""
        return 1 - math.comb(n - c, k) / math.comb(n, k)

    return _by_counts(outcomes, k, estimate)


def pass_hat_k(outcomes: ArrayLike, k: int) -> Floats:
    """(N,) chance that all of k rollouts solve the task, unbiased (arXiv:2406.12045).

    With n verdicts, c of them solved: C(c, k) / C(n, k); NaN if n < k.
    """

    def estimate(n: int, c: int) -> float:
        """The chance for one task."""
        return math.comb(c, k) / math.comb(n, k)

    return _by_counts(outcomes, k, estimate)


@lru_cache(maxsize=256)
def t_quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t with `freedom` >= 1 degrees."""
    _check_freedom(freedom)
    return float(stdtrit(freedom, 0.975))


def t_two_sided(t: float, freedom: float) -> float:
    """Chance of a larger |t| under Student's t with `freedom` >= 1."""
    _check_freedom(freedom)
    return 2 * float(stdtr(freedom, -abs(t)))


@lru_cache(maxsize=256)
def noncentrality(freedom: float) -> float:
    """The true difference, in standard errors, that a two-sided 5 % t-test shows with power 80 %.

    With `freedom` >= 1 degrees: statsmodels' `TTestPower`, times the root of the observations.
    """
    # Takes longer to import than all else here, and few callers ask.
    from scipy.optimize import brentq

    t = t_quantile(freedom)

    def missing_power(shift: float) -> float:
        """POWER less the chance that a t-statistic around `shift` leaves (-t, t)."""
        above = 1 - float(nctdtr(freedom, shift, t))
        below = float(nctdtr(freedom, shift, -t))
        # Not a number if it underflows.
        return POWER - above - (0.0 if math.isnan(below) else below)

    # At t the chance is about a half; with one degree of freedom the answer is 4 t / 3.
    root: Any = brentq(missing_power, 0.0, 2 * t + 2, xtol=1e-12)
    return float(root)


def _check_freedom(freedom: float) -> None:
    if not freedom >= 1:
        raise ValueError(f"freedom must be at least 1, got {freedom}")


def _table(outcomes: ArrayLike, families: Sequence[str]) -> Floats:
    table = np.asarray(outcomes, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(families):
        raise ValueError(
            f"outcomes must be (tasks, rollouts) with a family for each task, got {table.shape} "
            f"and {len(families)} families"
        )
    if not np.all(np.isnan(table) | (table == 0) | (table == 1)):
        raise ValueError("outcomes must be 1 (solved), 0 (not solved) or NaN (errored)")
    return table


def _task_rates(table: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """(N,) success of each task over its verdicts, NaN without any, and (N,) their number."""
    counts = (~np.isnan(table)).sum(axis=1)
    solved = np.nansum(table, axis=1)
    rates = np.full(len(table), np.nan)
    np.divide(solved, counts, out=rates, where=counts > 0)
    return rates, counts


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


@dataclass(frozen=True)
class _Clusters:
    """What varies together, of the tasks that count.

    | field | meaning |
    |---|---|
    | numbers | (N,) the cluster of each task, from 0 without gaps |
    | kind | what a cluster is |
    | sizes | (C,) tasks of each cluster |
    """

    numbers: NDArray[np.intp]
    kind: Literal["family", "task"]
    sizes: NDArray[np.intp]

    @classmethod
    def of(cls, families: Sequence[str], counts: NDArray[np.bool_]) -> _Clusters:
        """Families (N,), or tasks if the families are too few; `counts` (N,) says which count."""
        chosen = np.asarray(list(families), dtype=str)[counts]
        names, numbers = np.unique(chosen, return_inverse=True)
        kind: Literal["family", "task"] = "family"
        if len(names) < MIN_FAMILIES:
            numbers, kind = np.arange(len(chosen)), "task"
        return cls(numbers, kind, np.bincount(numbers))

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.sizes)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a variance over clusters of these sizes (Kish)."""
        squares = self.sizes**2
        effective = self.sizes.sum() ** 2 / squares.sum()
        return max(1.0, float(effective) - 1)

    @property
    def t(self) -> float:
        """Student's t for a 95 % interval."""
        return t_quantile(self.freedom)

    def variance(self, residuals: Floats) -> float:
        """Variance of the mean; its residuals (N,) may be alike within a cluster in any way."""
        sums = np.bincount(self.numbers, weights=residuals)
        squares = sums**2
        correction = self.count / (self.count - 1)
        return float(squares.sum() / len(residuals) ** 2 * correction)

    def estimate(
        self, value: float, low: float, high: float, episodes: int
    ) -> Estimate:
        """The estimate of a mean over these tasks."""
        return Estimate(
            value,
            low,
            high,
            tasks=len(self.numbers),
            episodes=episodes,
            clusters=self.count,
            clustered_by=self.kind,
        )


def _wilson(rate: float, count: float, t: float) -> tuple[float, float]:
    """Wilson's interval of a share seen in `count` independent episodes."""
    weight = t**2 / count
    centre = (rate + weight / 2) / (1 + weight)
    variance = rate * (1 - rate) / count
    root = math.sqrt(variance + weight / (4 * count))
    half = t / (1 + weight) * root
    # Rounding must not push the rate out of its interval.
    low = min(rate, centre - half)
    high = max(rate, centre + half)
    return max(0.0, low), min(1.0, high)


def _by_counts(
    outcomes: ArrayLike, k: int, estimate: Callable[[int, int], float]
) -> Floats:
    """(N,) `estimate(n, c)` of each task; NaN if n < k."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    table = np.asarray(outcomes, dtype=np.float64)
    verdicts = (~np.isnan(table)).sum(axis=1)
    solved = np.nansum(table, axis=1)
    values = np.full(len(table), math.nan)
    for task in np.flatnonzero(verdicts >= k):
        n, c = int(verdicts[task]), int(solved[task])
        values[task] = estimate(n, c)
    return values
