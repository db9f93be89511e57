"""The rule for several references against numbers worked out by hand."""

from dataclasses import replace

import pytest
import torch

from scgrpo.credit.options import CreditOptions
from scgrpo.credit.siblings.disagreement import Disagreement
from tests.scgrpo.credit.siblings.logprobs import logprobs_of, weights_of

# Verified: mean 2, 1, 0 and std 1, 0, 2. Failed: mean 0, 1, 1.
VERIFIED = [[[1.0, 1.0, -2.0]], [[3.0, 1.0, 2.0]]]
FAILED = [[[-1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0]]]


def test_the_difference_of_the_kinds_counts_beyond_the_spread_of_the_verified():
    # abs(2 - 0) - 1 = 1, abs(1 - 1) - 0 = 0, abs(0 - 1) - 2 < 0.
    given = logprobs_of(VERIFIED, FAILED, advantage=[1.0])
    assert Disagreement().evidence(given)[0].tolist() == pytest.approx([1.0, 0.0, 0.0])


def test_a_sibling_that_is_not_there_does_not_count():
    # The second verified one is missing: means 1, 1, -2 without a spread, against 0, 1, 1.
    given = logprobs_of(VERIFIED, FAILED, advantage=[1.0], has_verified=[[1], [0]])
    assert Disagreement().evidence(given)[0].tolist() == pytest.approx([1.0, 0.0, 3.0])


def test_without_a_failed_sibling_it_compares_with_none_at_all():
    # The unconditioned log-probability is 0.5: 1.5 - 1, 0.5 - 0, 0.5 - 2 < 0.
    given = logprobs_of(VERIFIED, advantage=[-1.0])
    given = replace(given, plain=torch.full((1, 3), 0.5))
    assert Disagreement().evidence(given)[0].tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_the_weight_is_that_of_sc_grpo():
    # S = 1, 0, 0: the 75th percentile is at place 1.5, c = 0.5.
    given = logprobs_of(VERIFIED, FAILED, advantage=[1.0])
    assert weights_of(Disagreement(), given)[0].tolist() == pytest.approx([2 / 3, 0, 0])
    full = Disagreement(CreditOptions(percentile=1.0))
    assert weights_of(full, given)[0].tolist() == pytest.approx([1 / 2, 0, 0])


def test_it_reads_as_many_of_each_kind_as_asked_for():
    assert Disagreement().reference_passes == 4
    assert Disagreement(CreditOptions(references=3)).reference_passes == 6
    with pytest.raises(ValueError, match="unsigned has no effect on Disagreement"):
        Disagreement(CreditOptions(control="unsigned"))
