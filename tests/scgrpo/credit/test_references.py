import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scgrpo.credit.options import CreditOptions
from scgrpo.credit.references import Case, assign_references

DEFAULT = CreditOptions()
WRONG = CreditOptions(control="wrong_ref")
CONTRAST = CreditOptions(contrastive=True)


def routed(verified, group, options=DEFAULT, seed=0):
    return assign_references(
        torch.tensor(verified).bool(),
        torch.tensor(group),
        np.random.default_rng(seed),
        options,
    )


groups_of_outcomes = st.lists(
    st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=4
).map(
    lambda groups: (
        [v for outcomes in groups for v in outcomes],
        [g for g, outcomes in enumerate(groups) for _ in outcomes],
    )
)


def options_strategy():
    return st.builds(
        CreditOptions,
        weight_single=st.booleans(),
        contrastive=st.booleans(),
        alpha_div=st.sampled_from([0.0, 0.1]),
        control=st.sampled_from(["none", "wrong_ref"]),
    )


@given(batch=groups_of_outcomes, options=options_strategy(), seed=st.integers(0, 1000))
def test_a_reference_is_never_the_episode_itself(batch, options, seed):
    references = routed(*batch, options, seed)
    rows = torch.arange(len(batch[0]))
    assert (references.reference != rows).all()
    assert (references.negative_reference != rows).all()


@given(batch=groups_of_outcomes, seed=st.integers(0, 1000))
def test_references_come_from_the_same_group_with_the_right_verdict(batch, seed):
    references = routed(*batch, seed=seed)
    verified, group = batch
    for row, ref in enumerate(references.reference.tolist()):
        n = sum(v for v, g in zip(verified, group, strict=True) if g == group[row])
        size = group.count(group[row])
        if n in (1, size):
            assert ref == -1
        elif n:
            assert (group[ref], verified[ref]) == (group[row], True)
        elif ref != -1:
            assert group[ref] == group[row]


def test_each_number_of_verified_episodes_has_its_case():
    verified = [1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1]
    references = routed(verified, [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3)
    cases = [Case.WEIGHTED, Case.DIVERSITY, Case.UNWEIGHTED_SINGLE, Case.UNWEIGHTED_ALL]
    assert references.case.tolist() == [case for case in cases for _ in range(3)]
    assert references.reference[:3].tolist()[:2] == [1, 0]
    assert references.reference[6:].tolist() == [-1] * 6
    assert not references.overflow.any()


def test_the_draw_is_uniform_over_the_verified_others():
    # 3 verified of 5: a verified row has 2 to choose from, a failed one 3.
    counts = [Counter() for _ in range(5)]
    for seed in range(600):
        for row, ref in enumerate(
            routed([1, 1, 1, 0, 0], [0] * 5, seed=seed).reference.tolist()
        ):
            counts[row][ref] += 1
    assert set(counts[0]) == {1, 2}
    assert set(counts[4]) == {0, 1, 2}
    # Four standard deviations: 4 * sqrt(600 / 4) = 49 and 4 * sqrt(600 * 2 / 9) = 46.
    assert all(abs(c - 300) < 49 for c in counts[0].values())
    assert all(abs(c - 200) < 46 for c in counts[4].values())


def test_a_shared_reference_is_as_uniform_for_each_and_gives_a_group_two_references():
    verified = [1, 1, 1, 0, 0]
    counts = [Counter() for _ in range(5)]
    for seed in range(600):
        found = routed(
            verified, [0] * 5, CreditOptions(shared_reference=True), seed
        ).reference.tolist()
        for row, ref in enumerate(found):
            counts[row][ref] += 1
        first = found[4]
        assert [ref for row, ref in enumerate(found) if row != first] == [first] * 4
        assert found[first] != first
    assert set(counts[0]) == {1, 2}
    assert set(counts[4]) == {0, 1, 2}
    assert all(abs(c - 300) < 49 for c in counts[0].values())
    assert all(abs(c - 200) < 46 for c in counts[4].values())


def test_without_a_verified_episode_all_are_scored_against_one_uniform_draw():
    drawn = Counter()
    for seed in range(400):
        reference = routed([0] * 4, [0] * 4, seed=seed).reference.tolist()
        (r,) = {ref for ref in reference if ref != -1}
        assert [row for row, ref in enumerate(reference) if ref == -1] == [r]
        drawn[r] += 1
    assert set(drawn) == {0, 1, 2, 3}
    assert all(abs(c - 100) < 35 for c in drawn.values())  # 4 * sqrt(400 * 3 / 16)


def test_the_same_seed_draws_the_same_references():
    batch = ([1, 1, 1, 0] * 4, [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4)
    assert torch.equal(
        routed(*batch, seed=3).reference, routed(*batch, seed=3).reference
    )
    assert not torch.equal(
        routed(*batch, seed=3).reference, routed(*batch, seed=4).reference
    )


def test_groups_need_not_stand_together():
    assert routed([1, 1, 1, 1, 0, 0], [0, 7, 0, 7, 0, 7]).reference[:4].tolist() == [
        2,
        3,
        0,
        1,
    ]


def test_a_lone_failed_episode_has_nothing_to_be_scored_against():
    references = routed([0], [0])
    assert references.reference.tolist() == [-1]
    assert references.case.tolist() == [Case.DIVERSITY]


def test_alpha_zero_switches_the_branch_without_verified_episodes_off():
    references = routed([0, 0, 0], [0] * 3, CreditOptions(alpha_div=0.0))
    assert references.reference.tolist() == [-1] * 3
    assert references.case.tolist() == [Case.UNWEIGHTED_NONE] * 3


def test_weight_single_shows_the_verified_episode_to_the_failed_ones():
    references = routed([0, 1, 0], [0] * 3, CreditOptions(weight_single=True))
    assert references.reference.tolist() == [1, -1, 1]
    assert references.case.tolist() == [Case.WEIGHTED_SINGLE] * 3


def test_contrast_draws_a_failed_episode_of_the_group():
    references = routed([1, 1, 0, 0, 1, 1, 0], [0] * 4 + [1] * 3, CONTRAST)
    wrong = references.negative_reference.tolist()
    assert set(wrong[:2]) <= {2, 3}
    assert wrong[2:4] == [3, 2]
    assert wrong[4:6] == [6, 6]
    assert wrong[6] == -1, "the only failed one has none to contrast with"
    assert references.reference[6] in (4, 5)


def test_contrast_is_off_by_default_and_where_there_is_no_right_reference():
    assert (routed([1, 1, 0, 0], [0] * 4).negative_reference == -1).all()
    assert (routed([0] * 4, [0] * 4, CONTRAST).negative_reference == -1).all()


def test_several_references_are_different_ones_while_the_group_has_them():
    # 4 verified and 2 failed: a verified row has 3 and 2 to choose from, a failed one 4 and 1.
    verified = torch.tensor([1, 1, 1, 1, 0, 0]).bool()
    firsts = Counter()
    for seed in range(200):
        references = assign_references(
            verified,
            torch.zeros(6, dtype=torch.long),
            np.random.default_rng(seed),
            DEFAULT,
            count=5,
            negative_count=2,
        )
        draws = torch.stack(references.verified_draws, 1).tolist()
        negatives = torch.stack(references.negative_draws, 1).tolist()
        firsts[draws[0][0]] += 1
        for row in range(4):
            assert sorted(draws[row]) == [-1, -1] + [r for r in range(4) if r != row]
            assert draws[row][3:] == [-1, -1]
            assert sorted(negatives[row]) == [4, 5]
        assert sorted(draws[4]) == [-1, 0, 1, 2, 3]
        assert negatives[4:] == [[5, -1], [4, -1]]
    # Four standard deviations of 200 draws of 3: 4 * sqrt(200 * 2 / 9) = 27.
    assert set(firsts) == {1, 2, 3}
    assert all(abs(count - 200 / 3) < 27 for count in firsts.values())


def test_more_references_leave_the_first_draw_of_a_group_as_it_was():
    batch = torch.tensor([1, 1, 1, 0]).bool(), torch.zeros(4, dtype=torch.long)
    several = assign_references(*batch, np.random.default_rng(3), DEFAULT, count=2)
    one = assign_references(*batch, np.random.default_rng(3), DEFAULT)
    assert several.reference[0] == one.reference[0]
    assert one.further == ()
    lost = several.without(torch.tensor([True, False, False, False]))
    assert [draw[0].item() for draw in lost.verified_draws] == [-1, -1]
    assert torch.equal(lost.further[0][1:], several.further[0][1:])


def test_shared_references_are_the_first_of_one_order_of_each_kind():
    references = assign_references(
        torch.tensor([1, 1, 1, 1, 0, 0, 0]).bool(),
        torch.zeros(7, dtype=torch.long),
        np.random.default_rng(0),
        CreditOptions(shared_reference=True),
        count=2,
        negative_count=3,
    )
    draws = torch.stack(references.verified_draws, 1).tolist()
    negatives = torch.stack(references.negative_draws, 1).tolist()
    # A row of the other kind has the first ones of the order itself.
    first, all_failed = draws[6], negatives[0]
    assert sorted(all_failed) == [4, 5, 6]
    for row in range(4):
        assert negatives[row] == all_failed
        assert draws[row][0] == next(r for r in first if r != row)
    for row in range(4, 7):
        assert draws[row] == first
        assert negatives[row] == [r for r in all_failed if r != row] + [-1]


def test_without_a_success_one_episode_is_shown_however_many_are_asked_for():
    references = assign_references(
        torch.zeros(4).bool(),
        torch.zeros(4, dtype=torch.long),
        np.random.default_rng(0),
        DEFAULT,
        count=3,
    )
    assert references.weighted.sum() == 3
    assert all((draw == -1).all() for draw in references.further)


def test_wrong_ref_contrasts_with_failures_of_other_tasks():
    wrong = CreditOptions(control="wrong_ref", contrastive=True)
    references = routed([1, 1, 0, 0, 1, 1, 0, 0], [0] * 4 + [1] * 4, wrong)
    assert set(references.reference[:4].tolist()) <= {4, 5}
    assert set(references.negative_reference[:4].tolist()) <= {6, 7}


def test_wrong_ref_takes_references_from_other_tasks_with_the_same_verdict():
    verified, group = [1, 1, 0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for seed in range(30):
        references = routed(verified, group, WRONG, seed)
        ref = references.reference.tolist()
        assert set(ref[:3]) <= {6, 7}
        assert set(ref[6:]) <= {0, 1}
        (other,) = {r for r in ref[3:6] if r != -1}
        assert other in (2, 8)
        assert ref[3:6].count(-1) == 1


def test_wrong_ref_leaves_the_same_rows_weighted():
    verified, group = [1, 1, 0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 1, 1, 2, 2]
    plain, wrong = routed(verified, group), routed(verified, group, WRONG)
    assert torch.equal(plain.case, wrong.case)
    assert plain.weighted[:3].tolist() == wrong.weighted[:3].tolist() == [True] * 3
    assert plain.weighted[3:6].sum() == wrong.weighted[3:6].sum() == 2


@pytest.mark.parametrize("verified", [[1, 1, 0], [0, 0, 0]])
def test_wrong_ref_in_a_batch_of_one_task_gives_no_reference(verified):
    assert routed(verified, [5] * 3, WRONG).reference.tolist() == [-1] * 3


def test_overflow_takes_both_references_and_is_counted():
    references = routed([1, 1, 0, 0, 1, 0], [0] * 4 + [1] * 2, CONTRAST)
    left = references.without(torch.tensor([True, False, False, False, True, True]))
    assert left.reference[0] == left.negative_reference[0] == -1
    assert torch.equal(left.reference[1:4], references.reference[1:4])
    assert left.overflow.tolist() == [True] + [False] * 5, (
        "row 4 and 5 had nothing to lose"
    )
    again = left.without(torch.tensor([True, True, False, False, False, False]))
    assert again.overflow.tolist() == [True, True] + [False] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "group"},
        {"control": "random"},
        {"percentile": 1.5},
        {"percentile": math.nan},
        {"floor": 0.0},
        {"alpha_div": -0.1},
        {"references": -1},
        {"contrastive": True, "control": "entropy"},
    ],
)
def test_options_out_of_range_are_refused_with_their_name(wrong):
    with pytest.raises(ValueError, match="credit." + next(iter(wrong))):
        CreditOptions(**wrong)
