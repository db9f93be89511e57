"""The level follows success: up above 80 %, down below 10 %, with a fifth of review."""

import numpy as np
import pytest

from scgrpo.training.curriculum import LevelCurriculum


def fed(controller: LevelCurriculum, success: float, times: int) -> LevelCurriculum:
    for _ in range(times):
        controller.record(controller.level, success)
    return controller


def test_it_starts_at_the_lowest_level():
    assert LevelCurriculum([2, 0, 1, 0]).levels == [0, 1, 2]
    assert LevelCurriculum([3, 1]).level == 1


@pytest.mark.parametrize(
    ("success", "level"), [(0.81, 2), (0.8, 1), (0.5, 1), (0.1, 1), (0.09, 0)]
)
def test_it_moves_once_the_window_is_full(success: float, level: int):
    controller = fed(LevelCurriculum([0, 1, 2], window=4), 1.0, 4)
    assert controller.level == 1
    assert fed(controller, success, 3).level == 1
    assert fed(controller, success, 1).level == level


def test_the_window_starts_anew_after_a_move():
    controller = fed(LevelCurriculum([0, 1, 2], window=4), 1.0, 7)
    assert controller.level == 1
    assert fed(controller, 1.0, 1).level == 2


def test_the_window_slides():
    controller = fed(LevelCurriculum([0, 1], window=4), 0.0, 4)
    fed(controller, 1.0, 3)
    assert controller.level == 0
    assert fed(controller, 1.0, 1).level == 1


def test_it_stays_within_its_levels():
    assert fed(LevelCurriculum([0, 1], window=2), 0.0, 9).level == 0
    assert fed(LevelCurriculum([0, 1], window=2), 1.0, 9).level == 1


def test_success_at_other_levels_does_not_count():
    controller = fed(LevelCurriculum([0, 1], window=2), 1.0, 2)
    for _ in range(9):
        controller.record(0, 0.0)
    assert controller.level == 1


def test_a_fifth_of_the_tasks_review_lower_levels():
    controller = fed(LevelCurriculum([0, 1, 2], window=1), 1.0, 2)
    rng = np.random.default_rng(0)
    drawn = [controller.draw(rng) for _ in range(4000)]
    counts = {level: drawn.count(level) / 4000 for level in (0, 1, 2)}
    assert counts[2] == pytest.approx(0.8, abs=0.03)
    assert counts[0] == pytest.approx(0.1, abs=0.03)
    assert counts[1] == pytest.approx(0.1, abs=0.03)


def test_the_lowest_level_has_nothing_to_review():
    rng = np.random.default_rng(0)
    assert {LevelCurriculum([1, 2]).draw(rng) for _ in range(200)} == {1}


def test_a_saved_controller_goes_on_where_it_was():
    one = fed(fed(LevelCurriculum([0, 1, 2], window=4), 1.0, 4), 1.0, 3)
    two = LevelCurriculum([0, 1, 2], window=4)
    two.load_state_dict(one.state_dict())
    assert (one.level, two.level) == (1, 1)
    assert fed(two, 1.0, 1).level == 2


def test_no_levels_are_refused():
    with pytest.raises(ValueError, match="at least one level"):
        LevelCurriculum([])
