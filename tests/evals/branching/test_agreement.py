"""The cosine between credit and gains, by hand."""

import math

import numpy as np
import pytest

from evals.branching.agreement import Products, agreement, agreement_gap, products


def test_products_of_a_group_leave_out_tokens_without_a_gain():
    gains = [[0.5, 0.25], [np.nan, 0.5], [-1.0, -0.5]]
    # 2 * 0.375 + (-1) * (-0.75); 4 + 1; 0.5 * 0.25 + 1.0 * 0.5
    assert products([2.0, 9.0, -1.0], gains) == Products(1.5, 5.0, 0.625)


def test_credit_that_is_the_gain_agrees_fully_and_its_opposite_not_at_all():
    rng = np.random.default_rng(0)
    gains = rng.normal(size=(6, 10))
    same = [products(g, np.stack([g, g], axis=1)) for g in gains]
    opposite = [products(-g, np.stack([g, g], axis=1)) for g in gains]
    assert agreement(same).value == pytest.approx(1.0)
    assert agreement(opposite).value == pytest.approx(-1.0)
    gap = agreement_gap(same, opposite)
    assert gap.value == pytest.approx(2.0)
    assert (gap.low, gap.high) == pytest.approx((2.0, 2.0))


def test_noise_of_the_halves_does_not_lower_the_norm_of_the_gains():
    """The cosine of the true gains is 1, however noisy the two estimates of them are."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(200, 20))
    noisy = truth[..., None] + rng.normal(size=(200, 20, 2))
    groups = [products(t, n) for t, n in zip(truth, noisy, strict=True)]
    measured = agreement(groups)
    assert measured.low < 1.0 < measured.high
    assert measured.high - measured.low < 0.1


def test_the_interval_is_the_jackknifes():
    groups = [Products(1.0, 1.0, 4.0), Products(1.0, 1.0, 1.0)]
    # Without the first 1, without the second 0.5; of all 2 / sqrt(10).
    variance = 0.5 * (2 * 0.25**2)
    measured = agreement(groups)
    assert measured.value == pytest.approx(2 / math.sqrt(10))
    assert measured.high - measured.value == pytest.approx(
        12.7062 * math.sqrt(variance), rel=1e-4
    )


def test_without_a_norm_there_is_no_cosine():
    assert math.isnan(agreement([Products(0.0, 0.0, 1.0)]).value)
    assert math.isnan(agreement([]).value)
