"""Rows hold medians and intervals of what was measured in turn, and say whether a goal is met."""

import numpy as np
import pytest

from benchmarks import Goal, Row, clock_rows, comparison, measurement, ratio_of_pairs


def test_a_ratio_is_the_median_over_rounds_and_its_interval_holds_it():
    assert ratio_of_pairs([(2, 1), (6, 2), (40, 10)]) == (3, (2, 4))


def test_equal_rounds_leave_no_doubt():
    row = measurement("b", "n", "ms", [5.0, 5.0, 5.0])
    assert (row.ours, row.ours_interval) == (5, (5, 5))
    assert (row.ratio, row.goal_met) == (None, None)


def test_two_rounds_have_a_median_but_no_interval():
    assert ratio_of_pairs([(2, 1), (8, 2)]) == (3, None)


def test_a_comparison_can_be_taken_either_way():
    pairs = [(2.0, 8.0), (2.0, 10.0), (2.0, 12.0)]
    one = comparison("b", "n", "ms", pairs, "peer")
    assert (one.ours, one.theirs, one.ratio) == (2, 10, 0.2)
    other = comparison("b", "n", "ms", pairs, "peer", quotient="theirs / ours")
    assert (other.ours, other.theirs, other.ratio) == (2, 10, 5)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("<=", 1.3), False),
        (Goal("<=", 1.5), True),
        (Goal(">=", 1.5), True),
        (Goal(">=", 1.6), False),
        (Goal("<=", 55, "ours"), True),
        (Goal("<=", 44, "ours"), False),
    ],
)
def test_a_goal_is_about_the_ratio_or_the_value_itself(goal: Goal, met: bool):
    row = Row("b", "n", "ms", ours=45, theirs=30, ratio=1.5, goal=goal)
    assert row.goal_met is met


def test_a_goal_without_a_ratio_is_neither_met_nor_missed():
    assert Row("b", "n", "ms", ours=1, goal=Goal("<=", 1)).goal_met is None


def test_seconds_of_both_clocks_become_two_rows_and_the_cores_in_use():
    # Seconds on the wall and of the processor, of us and of the peer.
    rounds = [(np.array([2.0, 3.0]), np.array([4.0, 4.0]))] * 3
    goal = Goal("<=", 0.6)
    wall, processor = clock_rows("b", "n", "ms", rounds, "peer", goal=goal)
    assert (wall.name, wall.ours, wall.theirs, wall.ratio) == ("n, wall", 2e3, 4e3, 0.5)
    assert (wall.cores, wall.their_cores, wall.goal_met) == (1.5, 1, True)
    assert (processor.name, processor.ratio) == ("n, processor", 0.75)
    assert (processor.cores, processor.goal) == (None, None)


def test_amounts_become_rates():
    rounds = [(np.array([2.0, 4.0]), np.array([4.0, 4.0]))] * 3
    amounts = [(100.0, 80.0)] * 3
    wall, processor = clock_rows("b", "n", "1/s", rounds, "peer", amounts=amounts)
    assert (wall.ours, wall.theirs, wall.ratio) == (50, 20, 2.5)
    assert (processor.ours, processor.theirs, processor.ratio) == (25, 20, 1.25)
