"""Controls against weights worked out by hand, and what each of them keeps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scgrpo.credit.controls import (
    WeightedTokens,
    controlled_evidence,
    moved_weights,
)
from scgrpo.credit.options import WEIGHT_CONTROLS, CreditOptions

MASK = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]]).bool()
GROUP = torch.tensor([0, 0, 0, 1])
W = torch.tensor(
    [[0.1, 0.2, 0.6, 9.0], [9.0, 0.3, 0.5, 9.0], [1.0, 1.0, 1.0, 1.0], [0.8, 0.4, 9, 9]]
)
PLACE = torch.tensor([[0, 1, 2, 0], [0, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 0]])


def tokens(learned=(1, 1, 1, 1), group=GROUP) -> WeightedTokens:
    """Row 2 has no reference: its tokens are not weighted."""
    active = MASK.clone()
    active[2] = False
    return WeightedTokens(MASK, active, group, torch.tensor(learned).bool(), PLACE)


def moved(control: str, seed: int = 0, given: WeightedTokens | None = None):
    return moved_weights(control, W, given or tokens(), np.random.default_rng(seed))


@pytest.mark.parametrize("control", sorted({*WEIGHT_CONTROLS} - {"step_mean"}))
def test_a_control_changes_active_tokens_alone(control: str):
    before = W.clone()
    after = moved(control)
    active = tokens().active
    assert torch.equal(after[~active], W[~active])
    assert torch.equal(before, W)


@pytest.mark.parametrize("control", ["shuffled", "rotated", "inverted"])
@given(seed=st.integers(0, 1000))
def test_these_keep_an_episodes_weights_as_a_set(control: str, seed: int):
    after = moved(control, seed)
    for row, active in enumerate(tokens().active):
        assert sorted(after[row, active].tolist()) == sorted(W[row, active].tolist())


def test_shuffled_reaches_every_order():
    orders = {tuple(moved("shuffled", seed)[0, :3].tolist()) for seed in range(60)}
    assert len(orders) == 6


def test_rotated_is_a_circular_shift_that_moves_every_token():
    orders = {tuple(moved("rotated", seed)[0, :3].tolist()) for seed in range(30)}
    one, two, three = W[0, :3].tolist()
    assert orders == {(three, one, two), (two, three, one)}
    assert moved("rotated")[1, 1:3].tolist() == pytest.approx([0.5, 0.3])


def test_inverted_gives_the_largest_weight_to_the_smallest():
    assert moved("inverted")[0, :3].tolist() == pytest.approx([0.6, 0.2, 0.1])
    assert moved("inverted")[1, 1:3].tolist() == pytest.approx([0.5, 0.3])


def test_inverted_breaks_ties_at_random():
    w = torch.tensor([[0.0, 0.0, 0.0, 0.9]])
    mask = torch.ones(1, 4).bool()
    one = WeightedTokens(mask, mask, GROUP[:1], mask[:, 0], torch.arange(4)[None])
    largest = {
        int(moved_weights("inverted", w, one, np.random.default_rng(s)).argmax())
        for s in range(40)
    }
    assert largest == {0, 1, 2}


def test_constant_is_each_episodes_own_mean():
    after = moved("constant")
    assert after[0, :3].tolist() == pytest.approx([0.3] * 3)
    assert after[1, 1:3].tolist() == pytest.approx([0.4] * 2)


def test_swapped_puts_a_siblings_weights_at_the_same_places():
    # Rows 0 and 1 have each other; the shorter one starts again. Row 3 has nobody: its mean.
    after = moved("swapped")
    assert after[0, :3].tolist() == pytest.approx([0.3, 0.5, 0.3])
    assert after[1, 1:3].tolist() == pytest.approx([0.1, 0.2])
    assert after[3, :2].tolist() == pytest.approx([0.6, 0.6])


def test_the_steps_mean_stands_at_every_token_of_every_episode():
    # Row 2 counts with weight 1, a row without an advantage does not:
    # (0.1 + 0.2 + 0.6 + 0.3 + 0.5 + 4 * 1) / 9.
    after = moved("step_mean", given=tokens(learned=(1, 1, 1, 0)))
    assert after[MASK].tolist() == pytest.approx([5.7 / 9] * int(MASK.sum()))
    nothing = moved("step_mean", given=tokens(learned=(0, 0, 0, 0)))
    assert nothing[MASK].tolist() == [1.0] * int(MASK.sum())


def test_place_knows_the_place_in_the_turn_and_other_groups_alone():
    # Group 0 reads row 3: 0.8 and 0.4 at places 0 and 1, and no place 2, for which it takes the
    # step's, 0.6. Group 1 reads rows 0 and 1: (0.1 + 0.3) / 2 and (0.2 + 0.5) / 2.
    after = moved("place")
    assert after[0, :3].tolist() == pytest.approx([0.8, 0.4, 0.6])
    assert after[1, 1:3].tolist() == pytest.approx([0.8, 0.4])
    assert after[3, :2].tolist() == pytest.approx([0.2, 0.35])


def test_evidence_without_its_sign_or_made_of_entropy():
    evidence = torch.tensor([[-2.0, 1.0]])
    active = torch.ones(1, 2).bool()
    entropy = torch.tensor([[0.5, 1.5]])

    def given_to(control, signed, entropy=entropy):
        options = CreditOptions(control=control)
        return controlled_evidence(
            evidence, entropy, active, options, signed=signed
        ).tolist()

    assert given_to("none", True) == [[-2.0, 1.0]]
    assert given_to("shuffled", True) == [[-2.0, 1.0]]
    assert given_to("unsigned", True) == [[2.0, 1.0]]
    assert given_to("entropy", False) == [[0.5, 1.5]]
    assert given_to("entropy", True) == [[-0.5, 0.5]]
    with pytest.raises(ValueError, match="control=entropy: got no entropy"):
        given_to("entropy", True, None)
