"""A policy that collapses is warned of once for each way, and ordinary learning is not."""

import logging
import math

import pytest

from scgrpo.training.collapse import CollapseMonitor

HEALTHY = {"train/entropy": 1.0, "episodes/written": 40.0, "credit/mean_d": 0.01}


def warnings(
    caplog: pytest.LogCaptureFixture, *rows: dict, past: tuple = ()
) -> list[str]:
    monitor = CollapseMonitor(past)
    with caplog.at_level(logging.WARNING, "scgrpo.training.collapse"):
        for step, row in enumerate(rows, start=1):
            monitor.check(step, row)
    return caplog.messages


def test_numbers_that_stay_about_the_same_are_not_warned_of(caplog):
    rows = [
        HEALTHY | {"train/entropy": 1 - i / 12, "episodes/written": 40 - 3 * i}
        for i in range(9)
    ]
    assert warnings(caplog, *rows) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "train/entropy",
            0.05,
            "step 6: the policy's entropy is 0.05 nats a token, 1 at",
        ),
        (
            "episodes/written",
            5.0,
            "step 6: the policy writes 5 tokens an episode, 40 at the start",
        ),
        (
            "episodes/written",
            200.0,
            "step 6: the policy writes 200 tokens an episode, 40 at the",
        ),
    ],
)
def test_a_fall_or_rise_over_three_steps_is_warned_of_once(
    caplog, name, value, message
):
    found = warnings(caplog, *[HEALTHY] * 3, *[HEALTHY | {name: value}] * 5)
    assert [line[: len(message)] for line in found] == [message]


def test_a_single_odd_step_is_not_a_collapse(caplog):
    assert (
        warnings(
            caplog, *[HEALTHY] * 3, HEALTHY | {"train/entropy": 0.0}, *[HEALTHY] * 3
        )
        == []
    )


def test_references_that_move_nothing_are_warned_of_at_once(caplog):
    found = warnings(caplog, *[HEALTHY | {"credit/mean_d": 5e-5}] * 2)
    assert len(found) == 1
    assert found[0].startswith(
        "step 1: references move the policy by 5.0e-05 nats a token"
    )


def test_a_resumed_run_remembers_how_it_began(caplog):
    rows = [{"train/entropy": 0.05}] * 3
    assert warnings(caplog, *rows) == []
    assert len(warnings(caplog, *rows, past=(HEALTHY,) * 3)) == 1


def test_numbers_that_are_missing_or_not_finite_are_passed_over(caplog):
    odd = [
        {},
        {"train/entropy": None},
        {"train/entropy": math.nan, "episodes/written": math.inf},
    ]
    assert warnings(caplog, *odd, *[HEALTHY] * 3) == []


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("credit/overflow_share", "lost their reference"),
        ("episodes/cut_turns", "end at a limit"),
    ],
)
def test_what_happens_to_more_than_half_is_told_once(caplog, key: str, word: str):
    monitor = CollapseMonitor()
    with caplog.at_level(logging.WARNING):
        monitor.check(1, HEALTHY | {key: 0.5})
        assert word not in caplog.text
        for step in (2, 3):
            monitor.check(step, HEALTHY | {key: 0.6})
    assert caplog.text.count(word) == 1
    assert "60 %" in caplog.text
