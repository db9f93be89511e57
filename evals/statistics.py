"""Success rates, their 95 % intervals and paired differences. Pure functions of arrays.

Outcomes are arrays (N tasks, K rollouts): 1.0 solved, 0.0 not solved, NaN void (an episode without
a verdict, or one that was not played). Voids are left out, never averaged in.

Tasks of one family resemble each other, so the family is what is drawn anew when an evaluation is
repeated: variances are sums over families, and Student's t has as many degrees of freedom as there
are families of equal size that weigh as much (Kish), less one. A bootstrap over families is too
narrow with 5 to 30 of them. Where an environment has fewer than `MIN_FAMILIES`, tasks are the
clusters; the interval then speaks of these families alone, and `Estimate.clustered_by` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MIN_FAMILIES",
    "Estimate",
    "PairedTest",
    "detectable",
    "mean_estimate",
    "paired_difference",
    "paired_test",
    "pass_at_k",
    "pass_hat_k",
    "success_rate",
    "t_quantile",
    "t_two_sided",
]

MIN_FAMILIES = 5

# The 80 % quantile of the normal distribution.
Z_80 = 0.8416

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
    | clustered_by | `family`, or `task` where the families are too few |
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
    the variance found, at most the episodes there are. Where every verdict is the same, the data
    do not tell how alike a family's tasks are, so each cluster counts as one episode: 0 of 1600
    in 25 families gives 0 to 15 %.
    """
    outcomes = _table(outcomes, families)
    counts = (~np.isnan(outcomes)).sum(axis=1)
    seen = counts > 0
    clusters, clustered_by = _clusters(
        [f for f, s in zip(families, seen, strict=True) if s]
    )
    episodes, tasks = int(counts.sum()), int(seen.sum())
    rates = np.nansum(outcomes[seen], axis=1) / counts[seen]
    value = float(rates.mean()) if tasks else math.nan
    low = high = math.nan
    sizes = np.bincount(clusters)
    if len(sizes) > 1:
        variance, t = _variance(rates - value, clusters), t_quantile(_freedom(sizes))
        spread = value * (1 - value)
        if spread == 0.0:
            independent = float(len(sizes))
        else:
            independent = (
                min(spread / variance, episodes) if variance > 0 else float(episodes)
            )
        low, high = _wilson(value, independent, t)
    return Estimate(value, low, high, tasks, episodes, len(sizes), clustered_by)


def mean_estimate(
    values: ArrayLike, families: Sequence[str], episodes: int, *, least: float = 0.0
) -> Estimate:
    """Mean over tasks of a number (N,) in [least, 1], (N,). NaN: a task that does not count.

    The interval is t over cluster sums; `episodes` is how many the numbers are made of.
    """
    numbers = np.asarray(values, dtype=np.float64)
    seen = ~np.isnan(numbers)
    clusters, clustered_by = _clusters(
        [f for f, s in zip(families, seen, strict=True) if s]
    )
    kept, sizes = numbers[seen], np.bincount(clusters)
    value = float(kept.mean()) if len(kept) else math.nan
    low = high = math.nan
    if len(sizes) > 1:
        half = t_quantile(_freedom(sizes)) * math.sqrt(
            _variance(kept - value, clusters)
        )
        low, high = max(least, value - half), min(1.0, value + half)
    return Estimate(value, low, high, len(kept), episodes, len(sizes), clustered_by)


def paired_difference(
    before: ArrayLike, after: ArrayLike, families: Sequence[str]
) -> Estimate:
    """Mean over tasks of (success after - success before). (N, K), (N, K'), (N,).

    Row i of both is the same task; a task counts only where both models have a verdict. The
    interval is t over cluster sums. Its standard error has a floor of sqrt(2) / (n + 2), as if one
    more pair had spoken each way (Bonett and Price 2012): n is the paired episodes, or the
    clusters where all tasks differ by the same amount.
    """
    return paired_test(before, after, families).estimate


@dataclass(frozen=True)
class PairedTest:
    """A paired difference with what its interval is made of.

    | field | meaning |
    |---|---|
    | error, freedom | standard error and degrees of freedom; NaN with fewer than two clusters |
    | p_value | two-sided, of no difference: under 0.05 exactly where the interval leaves 0 out |
    """

    estimate: Estimate
    error: float
    freedom: float
    p_value: float


def paired_test(
    before: ArrayLike, after: ArrayLike, families: Sequence[str]
) -> PairedTest:
    """`paired_difference` and its p-value."""
    before, after = _table(before, families), _table(after, families)
    counts = [(~np.isnan(outcomes)).sum(axis=1) for outcomes in (before, after)]
    seen = (counts[0] > 0) & (counts[1] > 0)
    clusters, clustered_by = _clusters(
        [f for f, s in zip(families, seen, strict=True) if s]
    )
    differences = np.nansum(after[seen], axis=1) / counts[1][seen]
    differences -= np.nansum(before[seen], axis=1) / counts[0][seen]
    tasks, episodes = (
        int(seen.sum()),
        int(counts[0][seen].sum() + counts[1][seen].sum()),
    )
    value = float(differences.mean()) if tasks else math.nan
    low = high = error = freedom = p_value = math.nan
    sizes = np.bincount(clusters)
    if len(sizes) > 1:
        variance = _variance(differences - value, clusters)
        pairs = len(sizes) if np.ptp(differences) == 0 else episodes / 2
        error = max(math.sqrt(variance), math.sqrt(2) / (pairs + 2))
        freedom = _freedom(sizes)
        half = t_quantile(freedom) * error
        low, high = max(-1.0, value - half), min(1.0, value + half)
        p_value = t_two_sided(value / error, freedom)
    estimate = Estimate(value, low, high, tasks, episodes, len(sizes), clustered_by)
    return PairedTest(estimate, error, freedom, p_value)


def detectable(families: Sequence[str], rollouts: int) -> float:
    """The least true difference of two models that a paired test shows four times in five.

    (N,), for that many rollouts of each task by each model. For tasks that are solved every other
    time, where rollouts scatter most, and for families that gain alike; NaN with one cluster.
    """
    clusters, _ = _clusters(families)
    sizes = np.bincount(clusters)
    if len(sizes) < 2:
        return math.nan
    error = math.sqrt(2 * 0.25 / (len(families) * rollouts))
    return min(1.0, (t_quantile(_freedom(sizes)) + Z_80) * error)


def pass_at_k(outcomes: ArrayLike, k: int) -> Floats:
    """(N,) chance that at least one of k rollouts solves the task, unbiased (arXiv:2107.03374).

    With n verdicts of which c solve: 1 - C(n - c, k) / C(n, k); NaN where n < k.
    """
    return _by_counts(
        outcomes, k, lambda n, c: 1 - math.comb(n - c, k) / math.comb(n, k)
    )


def pass_hat_k(outcomes: ArrayLike, k: int) -> Floats:
    """(N,) chance that all of k rollouts solve the task, unbiased (arXiv:2406.12045).

    With n verdicts of which c solve: C(c, k) / C(n, k); NaN where n < k.
    """
    return _by_counts(outcomes, k, lambda n, c: math.comb(c, k) / math.comb(n, k))


@lru_cache(maxsize=256)
def t_quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t with `freedom` >= 1 degrees, right to four digits."""
    angles, mass = _t_angles(freedom)
    return math.sqrt(freedom) * math.tan(float(np.interp(0.95, mass, angles)))


def t_two_sided(t: float, freedom: float) -> float:
    """Chance of a larger |t| under Student's t with `freedom` >= 1, right to six decimals."""
    angles, mass = _t_angles(freedom)
    return 1 - float(np.interp(math.atan(abs(t) / math.sqrt(freedom)), angles, mass))


@lru_cache(maxsize=256)
def _t_angles(freedom: float) -> tuple[Floats, Floats]:
    """Angles a from 0, and the chance that |t| stays under sqrt(freedom) tan(a).

    The density of the angle is cos(a) ** (freedom - 1).
    """
    if not freedom >= 1:
        raise ValueError(f"freedom must be at least 1, got {freedom}")
    # Beyond this angle the density is under exp(-50) of its top.
    end = min(math.pi / 2, 10 / math.sqrt(freedom))
    angles = np.linspace(0.0, end, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return angles, mass / mass[-1]


def _table(outcomes: ArrayLike, families: Sequence[str]) -> Floats:
    table = np.asarray(outcomes, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(families):
        raise ValueError(
            f"outcomes must be (tasks, rollouts) with a family for each task, got {table.shape} "
            f"and {len(families)} families"
        )
    if not np.all(np.isnan(table) | (table == 0) | (table == 1)):
        raise ValueError("outcomes must be 1 (solved), 0 (not solved) or NaN (void)")
    return table


def _clusters(
    families: Sequence[str],
) -> tuple[NDArray[np.intp], Literal["family", "task"]]:
    """(N,) cluster numbers from 0 without gaps, and what a cluster is."""
    names, numbers = np.unique(np.asarray(families, dtype=str), return_inverse=True)
    if len(names) < MIN_FAMILIES:
        return np.arange(len(families)), "task"
    return numbers, "family"


def _variance(residuals: Floats, clusters: NDArray[np.intp]) -> float:
    """Of the mean, whose residuals (N,) may be alike within a cluster in any way."""
    sums = np.bincount(clusters, weights=residuals)
    return float((sums**2).sum() / len(residuals) ** 2 * len(sums) / (len(sums) - 1))


def _freedom(sizes: NDArray[np.intp]) -> float:
    """Degrees of freedom of a variance over clusters of these sizes."""
    return max(1.0, float(sizes.sum() ** 2 / (sizes**2).sum()) - 1)


def _wilson(rate: float, count: float, t: float) -> tuple[float, float]:
    """Wilson's interval of a share seen in `count` independent episodes."""
    weight = t**2 / count
    centre = (rate + weight / 2) / (1 + weight)
    half = (
        t / (1 + weight) * math.sqrt(rate * (1 - rate) / count + weight / (4 * count))
    )
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def _by_counts(
    outcomes: ArrayLike, k: int, estimate: Callable[[int, int], float]
) -> Floats:
    """(N,) `estimate(n, c)` of each task; NaN where n < k."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    table = np.asarray(outcomes, dtype=np.float64)
    verdicts = (~np.isnan(table)).sum(axis=1).tolist()
    solved = np.nansum(table, axis=1).astype(int).tolist()
    return np.array(
        [
            estimate(n, c) if n >= k else math.nan
            for n, c in zip(verdicts, solved, strict=True)
        ]
    )
