"""How well credit agrees with the gains of tokens: the cosine between both.

The policy gradient is the sum over sampled tokens of a token's advantage times the gradient of its
log-probability. A rule puts credit in place of the advantage: that its cosine with the gains is
larger says that its gradient points more the way of the true one.

The gains are estimates. Their noise lowers every cosine alike, but for the norm of the gains, which
is taken from products of two independent halves, so that noise adds nothing to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.statistics import t_quantile

__all__ = ["Agreement", "Products", "agreement", "agreement_gap", "products"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Products:
    """Sums over the tokens of one group.

    | field | meaning |
    |---|---|
    | both | of credit times gain |
    | credit | of squared credit |
    | gain | of the gain's one half times the other |
    """

    both: float
    credit: float
    gain: float


@dataclass(frozen=True)
class Agreement:
    """A cosine, or the difference of two, and its 95 % interval over groups.

    | field | meaning |
    |---|---|
    | low, high | by the jackknife that leaves out one group at a time; NaN below two groups |
    """

    value: float
    low: float
    high: float
    groups: int


def products(credit: ArrayLike, gains: ArrayLike) -> Products:
    """The sums of a group's tokens. (P,), (P, 2); tokens without a gain are left out."""
    credit = np.asarray(credit, dtype=np.float64)
    gains = np.asarray(gains, dtype=np.float64)
    is_known = np.isfinite(gains).all(1)
    credit, gains = credit[is_known], gains[is_known]
    return Products(
        float(credit @ gains.mean(1)),
        float(credit @ credit),
        float(gains[:, 0] @ gains[:, 1]),
    )


def agreement(groups: Sequence[Products]) -> Agreement:
    """The cosine over the tokens of all groups together."""
    return _jackknife(_cosine, _table(groups))


def agreement_gap(after: Sequence[Products], before: Sequence[Products]) -> Agreement:
    """The cosine of `after` less that of `before`, of the same groups in the same order."""

    def gap(tables: Floats) -> float:
        return _cosine(tables[:, 0]) - _cosine(tables[:, 1])

    return _jackknife(gap, np.stack([_table(after), _table(before)], axis=1))


def _table(groups: Sequence[Products]) -> Floats:
    """(groups, 3)."""
    return np.array([(each.both, each.credit, each.gain) for each in groups])


def _cosine(table: Floats) -> float:
    """Of the sums over groups; NaN where a norm is not positive."""
    both, credit, gain = table.sum(0)
    return both / math.sqrt(credit * gain) if credit > 0 and gain > 0 else math.nan


def _jackknife(statistic: Callable[[Floats], float], table: Floats) -> Agreement:
    count = len(table)
    value = float(statistic(table)) if count else math.nan
    if count < 2:
        return Agreement(value, math.nan, math.nan, count)
    left_out = np.array(
        [statistic(np.delete(table, place, axis=0)) for place in range(count)]
    )
    variance = (count - 1) / count * np.sum((left_out - left_out.mean()) ** 2)
    half = t_quantile(count - 1) * math.sqrt(variance)
    return Agreement(value, value - half, value + half, count)
