"""A cause of errored episodes that rises is warned of once; the usual few are not."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from envs.types import Episode, Stop, Task, Verdict
from scgrpo.training.error_monitor import (
    ErrorMonitor,
    describe_errors,
    tail_probability,
)

TASK = Task("train/0/a", "train", 0, "a", "?")
GOOD = Episode(TASK, (), (), (), Stop.FINISHED, Verdict(True, 1.0))
FULL = Episode(
    TASK, (), (), (), Stop.ERROR, None, error="OSError: [Errno 28] No space left"
)
BUG = replace(FULL, error="KeyError: 'x'")


def row(errors: int, cause: str = "ENOSPC", count: int = 32) -> dict[str, Any]:
    return {"episodes/count": float(count), f"errors/{cause}": float(errors)}


def warnings(
    caplog: pytest.LogCaptureFixture, *rows: dict, past: tuple = ()
) -> list[str]:
    monitor = ErrorMonitor(past)
    with caplog.at_level(logging.WARNING, "scgrpo.training.error_monitor"):
        for step, each in enumerate(rows, start=1):
            monitor.check(step, each)
    return caplog.messages


def test_the_chance_by_hand():
    # Beta(1, 199): (32/231) (31/230) (30/229) (29/228), and (28/227) more.
    assert tail_probability(4, 32, 0, 0) == pytest.approx(3.1111e-4, rel=1e-4)
    assert tail_probability(5, 32, 0, 0) == pytest.approx(3.8375e-5, rel=1e-4)
    # Beta(3, 297), all of 3: 3 * 4 * 5 / (300 * 301 * 302).
    assert tail_probability(3, 3, 2, 100) == pytest.approx(60 / 27_270_600)
    assert tail_probability(0, 32, 7, 100) == pytest.approx(1.0)


def test_the_first_step_may_have_four_of_32_and_not_five(caplog):
    assert warnings(caplog, row(4)) == []
    (line,) = warnings(caplog, row(5))
    assert line.startswith(
        "step 1: 5 of 32 episodes (1 in 200 is usual) errored by ENOSPC. They leave their groups"
    )
    assert "episodes/step-000001.jsonl" in line


def test_a_jump_is_warned_of_once_and_each_cause_for_itself(caplog):
    # After 0 of 320: (32/551) (31/550) (30/549) = 1.8e-4 for three, and 29/548 of that for four.
    quiet = [row(0)] * 10
    assert warnings(caplog, *quiet, row(3)) == []
    lines = warnings(caplog, *quiet, row(4), row(9), row(9) | row(6, "sandbox_lost"))
    assert [line.partition(". ")[0] for line in lines] == [
        "step 11: 4 of 32 episodes (0 of 320 before) errored by ENOSPC",
        "step 13: 6 of 32 episodes (0 of 384 before) errored by sandbox_lost",
    ]


def test_what_is_as_frequent_as_before_is_not_warned_of(caplog):
    # Four of 32 are a rise after 0 of 640, but not after 20: Beta(21, 819) expects 0.8 of 32.
    assert warnings(caplog, *[row(1)] * 20, row(4)) == []
    assert warnings(caplog, *[row(0)] * 20, row(4)) != []


def test_two_episodes_are_never_a_rise(caplog):
    assert tail_probability(2, 2, 0, 1000) < 1e-4
    assert warnings(caplog, *[row(0, count=100)] * 9, row(2, count=2)) == []


def test_a_climb_too_slow_for_one_step_is_seen_over_ten(caplog):
    climb = [row(0)] * 50 + [row(2)] * 10
    (line,) = warnings(caplog, *climb)
    # Beta(1, 199 + 1376): (320/1895) (319/1894) ... (315/1890) = 2.2e-5 for six; 8.6e-4 for the
    # four of a step before.
    assert line.startswith(
        "step 53: 6 of 320 episodes of the last 10 steps (0 of 1376 before)"
    )


def test_a_resumed_run_remembers_counts_and_warnings(caplog):
    assert warnings(caplog, row(9), past=(row(9),)) == []
    assert warnings(caplog, row(5), past=(row(0),) * 100) != []
    assert len(caplog.messages) == 1


def test_rows_of_earlier_versions_are_passed_over(caplog):
    assert warnings(caplog, {"errors/ENOSPC": 9.0}, {"episodes/count": None}, {}) == []


def test_a_step_s_numbers_and_a_zero_for_what_was_there_before():
    monitor = ErrorMonitor([row(2, "sandbox_lost")])
    numbers = monitor.numbers([GOOD, FULL, BUG, FULL])
    assert numbers == {
        "episodes/count": 4.0,
        "errors/sandbox_lost": 0.0,
        "errors/ENOSPC": 2.0,
        "errors/KeyError": 1.0,
    }
    assert describe_errors(numbers) == "ENOSPC 2, KeyError 1"
    assert describe_errors({"episodes/count": 4.0}) == ""
