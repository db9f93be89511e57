"""The rule after AgentOPSD against numbers worked out by hand."""

import math

import pytest
import torch

from scgrpo.credit.siblings.turn_belief import TurnBelief, revisions
from tests.scgrpo.credit.siblings.logprobs import logprobs_of, weights_of


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_a_revision_is_the_change_of_a_belief_in_log_odds():
    # From 0.5: c = 1, then 0.95 - 2 = -1.05.
    got = revisions(torch.tensor([1.0, -2.0]), 0.5, 0.95)
    assert got.tolist() == pytest.approx(
        [sigmoid(1) - 0.5, sigmoid(-1.05) - sigmoid(1)], abs=1e-6
    )
    # From 0.25, whose log-odds are -log 3.
    (got,) = revisions(torch.tensor([math.log(3)]), 0.25, 0.95).tolist()
    assert got == pytest.approx(0.25)


def test_what_is_settled_is_hardly_revised_again():
    first, second = revisions(torch.tensor([4.0, 4.0]), 0.5, 0.95).tolist()
    assert first > 0.4
    assert second < 0.02


def test_turns_that_the_verdict_agrees_with_weigh_more():
    # Turns of 2 and 1 tokens with evidence 0.5 + 0.5 = 1 and -2: q = 0.2311 and -0.4718 for a
    # pass. Of two turns z is 1 and -1: w = 0.5 + 0.5 * 1.2 and 0.5 + 0.5 * 0.8.
    gaps = [[0.5, 0.5, -2.0], [0.5, 0.5, -2.0]]
    turn = [[0, 0, 1], [2, 2, 3]]
    given = logprobs_of([gaps], advantage=[0.3, -0.3], turn=turn)
    q = TurnBelief().evidence(given)
    assert q[0].tolist() == pytest.approx([0.231059, 0.231059, -0.471834], abs=1e-5)
    assert torch.equal(q[1], -q[0])
    w = weights_of(TurnBelief(), given)
    assert w[0].tolist() == pytest.approx([1.1, 1.1, 0.9])
    assert w[1].tolist() == pytest.approx([0.9, 0.9, 1.1])


def test_of_three_turns_the_middle_one_is_between():
    # q = 0.3, 0.1, 0.2 has mean 0.2 and std 0.0816: z is 1.2247, clipped at b = 0.2, and 0.
    given = logprobs_of([[[0.0] * 3]], advantage=[1.0], turn=[[0, 1, 2]])
    w = TurnBelief().weights(torch.tensor([[0.3, 0.1, 0.2]]), given)
    assert w[0].tolist() == pytest.approx([1.1, 0.9, 1.0])


def test_an_episode_of_one_turn_and_rounding_errors_weigh_one():
    one = logprobs_of([[[3.0, 1.0]]], advantage=[1.0])
    assert weights_of(TurnBelief(), one)[0].tolist() == [1.0, 1.0]
    noise = logprobs_of([[[1e-7, -1e-7]]], advantage=[1.0], turn=[[0, 1]])
    assert weights_of(TurnBelief(), noise)[0].tolist() == pytest.approx(
        [1.0, 1.0], abs=1e-3
    )


def test_the_prior_of_a_group_is_kept_off_0_and_1():
    sure = logprobs_of([[[0.0, math.log(19)]]], advantage=[1.0], success=0.0)
    # From 0.05, whose odds are 1 : 19, to even.
    assert TurnBelief().evidence(sure)[0].tolist() == pytest.approx([0.45, 0.45])
