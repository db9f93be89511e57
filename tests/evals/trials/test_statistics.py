"""Differences are paired by seed; the numbers are those of textbooks."""

import math

import numpy as np
import pytest
from scipy import stats

from evals.trials.data import TrialRow
from evals.trials.statistics import (
    detectable,
    difference,
    measures,
    replication_chance,
    seed_mean,
    unpaired_difference,
)
from tests.evals.trials.rows import trial_row

CELLS = ["a/0", "b/0"]
ID = measures()["id avg@k"]


def test_the_interval_is_students():
    values = [0.1, 0.4, 0.2, 0.5]
    mean = seed_mean(values)
    test = stats.ttest_1samp(values, 0.0)
    low, high = test.confidence_interval(0.95)
    assert mean.value == pytest.approx(0.3)
    assert (mean.low, mean.high) == pytest.approx((low, high), abs=1e-4)
    assert mean.p_value == pytest.approx(test.pvalue, abs=1e-4)


def test_one_seed_has_no_interval():
    mean = seed_mean([0.25])
    assert (mean.value, mean.seeds) == (0.25, 1)
    assert math.isnan(mean.low)
    assert math.isnan(mean.p_value)


def test_a_seed_counts_if_both_methods_ran_it_in_every_cell():
    rows = [
        trial_row("a/0", "new", 0, 0.8),
        trial_row("b/0", "new", 0, 0.6),
        trial_row("a/0", "old", 0, 0.5),
        trial_row("b/0", "old", 0, 0.5),
        # Of seed 1 the old method lacks a cell; tuning runs count nowhere.
        trial_row("a/0", "new", 1, 0.9),
        trial_row("b/0", "new", 1, 0.9),
        trial_row("a/0", "old", 1, 0.1),
        trial_row("b/0", "old", 1, 0.1, stage="tune"),
    ]
    mean = difference(rows, "new", "old", CELLS, ID)
    assert mean is not None
    assert (mean.value, mean.seeds) == (pytest.approx(0.2), 1)
    alone = difference(rows, "new", "old", ["a/0"], ID)
    assert alone is not None
    assert (alone.value, alone.seeds) == (pytest.approx(0.55), 2)
    assert difference(rows, "new", "absent", CELLS, ID) is None


def test_what_is_measured_of_a_run():
    row = trial_row("a/0", "new", 0, 0.4)
    values = {name: measure(row) for name, measure in measures().items()}
    # Of the shift, four tasks have one of two, and six an errored and a failed episode.
    assert values == {
        "id avg@k": pytest.approx(0.4),
        "ood avg@k": pytest.approx(4 / 14),
        "id pass@k": pytest.approx(0.4),
        "area": pytest.approx(0.2),
    }
    without = TrialRow(**{**row.__dict__, "outcomes": {}})
    assert measures()["ood avg@k"](without) is None


def test_what_a_trial_can_show():
    # Eight differences that scatter by 0.1 around it: scipy's t leaves its bounds 4 times in 5.
    shift, bound = detectable(8, 0.1) / (0.1 / 8**0.5), stats.t.ppf(0.975, 7)
    power = stats.nct.sf(bound, 7, shift) + stats.nct.cdf(-bound, 7, shift)
    assert power == pytest.approx(0.8, abs=1e-9)
    assert math.isnan(detectable(1, 0.1))


def test_an_unpaired_difference_is_welch_s():
    before, after = [0.1, 0.2, 0.3, 0.25], [0.3, 0.5, 0.7]
    mean = unpaired_difference(after, before)
    test = stats.ttest_ind(after, before, equal_var=False)
    low, high = test.confidence_interval(0.95)
    assert mean.value == pytest.approx(0.2875)
    assert (mean.low, mean.high) == pytest.approx((low, high))
    assert mean.p_value == pytest.approx(test.pvalue)
    assert math.isnan(unpaired_difference([0.5], before).low)
    alike = unpaired_difference([0.5, 0.5], [0.0, 0.0])
    assert (alike.low, alike.high, alike.p_value) == (0.5, 0.5, 0.0)


def test_the_chance_that_a_second_mean_lies_in_the_first_interval_is_what_draws_say():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 20_000, 8))
    half = stats.t.ppf(0.975, 7) * first.std(axis=1, ddof=1) / 8**0.5
    within = np.abs(second.mean(axis=1) - first.mean(axis=1)) <= half
    assert replication_chance(8, 8) == pytest.approx(within.mean(), abs=0.01)
    assert replication_chance(8, 10**9) == pytest.approx(0.95, abs=1e-4)
    assert math.isnan(replication_chance(1, 8))
