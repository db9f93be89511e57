"""RLSD against numbers worked out by hand."""

import math

import pytest

from scgrpo.credit.siblings.rlsd import Rlsd
from tests.scgrpo.credit.siblings.logprobs import logprobs_of, weights_of

GAPS = [math.log(1.1), math.log(0.9), 0.0, 3.0, -3.0, 1e4]


def test_a_passed_episode_steps_further_where_the_sibling_agrees():
    # 0.5 + 0.5 clip(exp(d), 0.8, 1.2).
    w = weights_of(Rlsd(), logprobs_of([[GAPS]], advantage=[0.7]))
    assert w[0].tolist() == pytest.approx([1.05, 0.95, 1.0, 1.1, 0.9, 1.1])


def test_a_failed_episode_steps_further_where_it_does_not():
    # 0.5 + 0.5 clip(exp(-d), 0.8, 1.2); 1 / 1.1 = 0.9091 and 1 / 0.9 = 1.1111.
    w = weights_of(Rlsd(), logprobs_of([[GAPS]], advantage=[-0.7]))
    assert w[0].tolist() == pytest.approx(
        [0.954545, 1.055556, 1.0, 0.9, 1.1, 0.9], abs=1e-5
    )


def test_share_and_band_are_the_rules():
    w = weights_of(
        Rlsd(share=1.0, band=0.5), logprobs_of([[[3.0, -3.0]]], advantage=[1.0])
    )
    assert w[0].tolist() == pytest.approx([1.5, 0.5])
