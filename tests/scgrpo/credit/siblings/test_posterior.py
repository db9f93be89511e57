"""SC-GRPO+ against numbers worked out by hand, and against Bayes' rule."""

import math

import pytest
import torch

from scgrpo.credit.siblings.posterior import Posterior
from tests.scgrpo.credit.siblings.logprobs import logprobs_of, weights_of


def test_the_weight_is_one_more_than_the_contrasts_tanh():
    # e = 0.3 atanh(x) gives w = 1 + x with the verdict, 1 - x against it.
    e = [0.3 * math.atanh(x) for x in (0.5, -0.25, 0.0)]
    given = logprobs_of([[e, e]], [[[0.0] * 3] * 2], advantage=[2.0, -0.5])
    w = weights_of(Posterior(), given)
    assert w[0].tolist() == pytest.approx([1.5, 0.75, 1.0])
    assert w[1].tolist() == pytest.approx([0.5, 1.25, 1.0])


def test_the_contrast_is_with_the_mean_probability_after_failed_siblings():
    # 0.5 after the verified one; 0.1 and 0.4 after failed ones, mean 0.25: e = log 2.
    verified = [[[math.log(0.5)]]]
    failed = [[[math.log(0.1)]], [[math.log(0.4)]]]
    given = logprobs_of(verified, failed, advantage=[1.0])
    expected = 1 + math.tanh(math.log(2) / 0.3)
    assert weights_of(Posterior(), given).item() == pytest.approx(expected)


def test_with_true_posteriors_the_weight_is_above_one_where_the_advantage_has_the_verdicts_sign():
    """Three tokens; V is the mean of Q, and Bayes' rule gives both posteriors."""
    policy = torch.tensor([0.5, 0.3, 0.2])
    q = torch.tensor([0.9, 0.4, 0.1])
    v = (policy * q).sum()
    passing, failing = policy * q / v, policy * (1 - q) / (1 - v)
    contrast = (passing / failing).log()
    assert torch.allclose(contrast, q.logit() - v.logit(), atol=1e-5)
    given = logprobs_of(
        [[passing.log().tolist()] * 2],
        [[failing.log().tolist()] * 2],
        advantage=[1.0, -1.0],
    )
    w = weights_of(Posterior(), given)
    assert ((w[0] > 1) == (q > v)).all()
    assert ((w[1] > 1) == (q < v)).all()


def test_a_large_contrast_is_no_infinity_and_none_turns_an_advantage():
    given = logprobs_of([[[500.0, -500.0]]], [[[0.0, 0.0]]], advantage=[0.1])
    assert weights_of(Posterior(), given).tolist() == [[2.0, 0.0]]
