"""RLCSD against numbers worked out by hand."""

import math

import pytest

from scgrpo.credit.options import CreditOptions
from scgrpo.credit.siblings.contrastive import Contrastive
from tests.scgrpo.credit.siblings.logprobs import logprobs_of, weights_of


def test_the_contrast_is_with_the_mean_probability_after_failed_siblings():
    # p = 0.5 after the verified one; 0.1 and 0.4 after failed ones, mean 0.25: e = log 2.
    verified = [[[math.log(0.5)]]]
    failed = [[[math.log(0.1)]], [[math.log(0.4)]]]
    both = logprobs_of(verified, failed, advantage=[1.0])
    assert Contrastive().evidence(both).item() == pytest.approx(math.log(2))
    # The second is not there: e = log(0.5 / 0.1).
    one = logprobs_of(verified, failed, advantage=[-1.0], has_failed=[[1], [0]])
    assert Contrastive().evidence(one).item() == pytest.approx(-math.log(5))


def test_the_advantage_moves_by_r_and_keeps_its_sign():
    # tau 0.02: e = 0.02 atanh(x) gives r = 0.5 x. At x = 0.5, -0.5, 0.02 and 1: r = 0.25, -0.25,
    # 0.01 (within delta: 0) and 0.5.
    e = [0.02 * math.atanh(x) for x in (0.5, -0.5, 0.02)] + [1.0]
    rows = [e, e, e]
    given = logprobs_of([rows], [[[0.0] * 4] * 3], advantage=[2.0, -1.0, 0.25])
    moved = (given.advantage[:, None] * weights_of(Contrastive(), given)).tolist()
    assert moved[0] == pytest.approx([2.25, 1.75, 2.0, 2.5], abs=1e-4)
    assert moved[1] == pytest.approx([-0.75, -1.25, -1.0, -0.5], abs=1e-4)
    # 0.25 - 0.25 = 0, and no less.
    assert moved[2] == pytest.approx([0.5, 0.0, 0.25, 0.75], abs=1e-4)


def test_r_never_turns_a_small_advantage():
    given = logprobs_of([[[1.0]]], [[[0.0]]], advantage=[-0.1])
    assert weights_of(Contrastive(), given).item() == 0.0


def test_without_an_advantage_or_off_active_tokens_there_is_nothing_to_weigh():
    none = logprobs_of([[[1.0]]], [[[0.0]]], advantage=[0.0])
    assert weights_of(Contrastive(), none).item() == 1.0
    off = logprobs_of(
        [[[1.0]]], [[[0.0]]], advantage=[1.0], has_failed=[[0]], active=[[0]]
    )
    assert Contrastive().evidence(off).isfinite().all()


def test_four_failed_siblings_are_shown_or_as_many_as_asked_for():
    assert Contrastive().reference_passes == 5
    assert Contrastive(CreditOptions(references=1)).failed_count == 1
