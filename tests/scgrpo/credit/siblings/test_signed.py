"""The rule after ICSD against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scgrpo.credit.siblings.signed import Signed, laplace_gate, with_kept_sums
from tests.scgrpo.credit.siblings.logprobs import logprobs_of, weights_of


def test_the_gate_is_the_laplace_distribution_function_of_each_side():
    # Median 0; the mean distance is 2 below, and (0 + 1 + 5) / 3 = 2 from the median on.
    gate = laplace_gate(torch.tensor([-3.0, -1.0, 0.0, 1.0, 5.0]), 1e-4)
    assert gate.tolist() == pytest.approx(
        [
            math.exp(-1.5) / 2,
            math.exp(-0.5) / 2,
            0.5,
            1 - math.exp(-0.5) / 2,
            1 - math.exp(-2.5) / 2,
        ]
    )


def test_rounding_errors_are_no_influence():
    gate = laplace_gate(torch.tensor([-1e-7, 0.0, 1e-7]), 1e-4)
    assert gate.tolist() == pytest.approx([0.5] * 3, abs=1e-3)


def test_every_turn_keeps_its_sum():
    # 0.2 and 0.6 become 0.5 and 1.5; a turn of one token keeps weight 1.
    w = with_kept_sums(torch.tensor([0.2, 0.6, 0.3]), torch.tensor([7, 7, 2]))
    assert w.tolist() == pytest.approx([0.5, 1.5, 1.0])


def test_credit_goes_where_sibling_and_verdict_agree():
    # u = A d = 1, -1, 0 for the passed row and -1, 1, 0 for the failed one: median 0, scales 1
    # below and (0 + 0 + 1 + 1) / 4 = 0.5 above. F(1) = 1 - exp(-2) / 2, F(-1) = exp(-1) / 2.
    rows = [[1.0, -1.0, 0.0], [1.0, -1.0, 0.0]]
    w = weights_of(Signed(), logprobs_of([rows], advantage=[1.0, -1.0]))
    high, low = 1 - math.exp(-2) / 2, math.exp(-1) / 2
    scale = 3 / (high + low + 0.5)
    assert w[0].tolist() == pytest.approx([high * scale, low * scale, 0.5 * scale])
    assert w[1].tolist() == pytest.approx([low * scale, high * scale, 0.5 * scale])


@given(seed=st.integers(0, 1000))
def test_the_mean_weight_of_a_turn_is_one(seed: int):
    draw = torch.Generator().manual_seed(seed)
    gaps = torch.randn(1, 3, 6, generator=draw).tolist()
    turn = [[0, 0, 1, 1, 1, 2], [3, 3, 3, 3, 4, 4], [5] * 6]
    w = weights_of(Signed(), logprobs_of(gaps, advantage=[1.0, -0.5, 2.0], turn=turn))
    numbers = torch.tensor(turn)
    for number in numbers.unique():
        assert w[numbers == number].mean().item() == pytest.approx(1.0, abs=1e-5)
    assert (w > 0).all()


def test_what_is_not_active_has_weight_one_and_calibrates_nothing():
    values = [[2.0, -1.0, 100.0]]
    part = logprobs_of([values], advantage=[1.0], active=[[1, 1, 0]])
    alone = logprobs_of([[values[0][:2]]], advantage=[1.0])
    w = weights_of(Signed(), part)[0].tolist()
    assert w == pytest.approx([*weights_of(Signed(), alone)[0].tolist(), 1.0])
