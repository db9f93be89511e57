"""A profile gives each moment to one stage, and a run's log has what it recorded."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from scgrpo.runs import stages
from scgrpo.runs.stages import (
    StageProfile,
    describe_stages,
    reading_stage,
    recording,
    stage,
    stage_lines,
    stage_totals,
)


class Clock:
    """Clocks that move when they are told to."""

    def __init__(self) -> None:
        self.now = np.zeros(2)

    def __call__(self) -> np.ndarray:
        return self.now.copy()

    def move(self, wall: float, processor: float) -> None:
        self.now += (wall, processor)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(stages, "_clocks", clock)
    return clock


def test_a_stage_does_not_count_the_stages_within_it(clock: Clock):
    profile = StageProfile()
    with recording(profile):
        clock.move(1, 2)
        with stage("waiting"):
            clock.move(3, 1)
            with stage("decode", 7):
                clock.move(5, 10)
            clock.move(1, 0)
            with stage("decode", 2):
                clock.move(2, 4)
        clock.move(1, 1)
    clock.move(100, 100)
    assert profile.log() == {
        "profile/other/wall_s": 2,
        "profile/other/processor_s": 3,
        "profile/waiting/wall_s": 4,
        "profile/waiting/processor_s": 1,
        "profile/decode/wall_s": 7,
        "profile/decode/processor_s": 14,
        "profile/decode/tokens": 9,
    }


def test_a_log_starts_again_at_the_last_one(clock: Clock):
    profile = StageProfile()
    with recording(profile), stage("log"):
        clock.move(1, 1)
        assert profile.log()["profile/log/wall_s"] == 1
        clock.move(2, 2)
    assert profile.log()["profile/log/wall_s"] == 2
    assert profile.log() == {}


def test_the_stage_that_was_entered_last_has_the_time_in_whatever_thread(clock: Clock):
    profile = StageProfile()
    steps = threading.Barrier(2)

    def engine() -> None:
        with stage("decode", 1):
            steps.wait()
            steps.wait()

    with recording(profile):
        thread = threading.Thread(target=engine)
        with stage("waiting"):
            thread.start()
            steps.wait()
            clock.move(2, 2)
        # The engine's stage outlives the one that it was entered in.
        clock.move(3, 3)
        steps.wait()
        thread.join()
        clock.move(1, 1)
    log = profile.log()
    assert log["profile/waiting/wall_s"] == 0
    assert log["profile/decode/wall_s"] == 5
    assert log["profile/other/wall_s"] == 1


def test_a_stage_that_fails_is_left(clock: Clock):
    def fail() -> None:
        with stage("backward", 3):
            clock.move(1, 1)
            raise ZeroDivisionError

    profile = StageProfile()
    with recording(profile):
        with pytest.raises(ZeroDivisionError):
            fail()
        clock.move(2, 2)
    log = profile.log()
    assert log["profile/backward/wall_s"] == 1
    assert log["profile/other/wall_s"] == 2


def test_tokens_can_be_counted_at_the_end_of_a_stage(clock: Clock):
    profile = StageProfile()
    with recording(profile), stage("references") as references:
        references.add(5)
    assert profile.log()["profile/references/tokens"] == 5


def test_an_unknown_stage_is_refused_while_something_records():
    with stage("decoding"):
        pass
    with (
        recording(StageProfile()),
        pytest.raises(
            ValueError, match="got stage 'decoding', expected one of prefill"
        ),
    ):
        stage("decoding")


@pytest.mark.parametrize(
    ("counts", "name"),
    [([1, 1], "decode"), ([7, 1], "mixed"), ([7, 2], "prefill"), ([9], "prefill")],
)
def test_a_step_is_named_by_what_its_rows_read(counts: list[int], name: str):
    assert reading_stage(counts) == name
    assert name in stages.STAGES


def test_without_a_profile_a_stage_is_one_object_that_does_nothing():
    with recording(None):
        assert stage("decode", 1) is stage("backward")


def test_the_real_clocks_count_seconds_and_work():
    profile = StageProfile()
    with recording(profile):
        with stage("waiting"):
            time.sleep(0.05)
        with stage("backward"):
            while time.process_time() - stages_begun(profile) < 0.05:
                pass
    log = profile.log()
    assert log["profile/waiting/wall_s"] >= 0.05
    assert log["profile/waiting/processor_s"] < log["profile/waiting/wall_s"]
    assert log["profile/backward/processor_s"] >= 0.04


def stages_begun(profile: StageProfile) -> float:
    """Processor seconds at which the innermost stage began."""
    assert profile._last is not None
    return float(profile._last[1])


ROWS = [
    {
        "step": 1,
        "profile/decode/wall_s": 3.0,
        "profile/decode/processor_s": 4.5,
        "profile/decode/tokens": 300.0,
        "profile/other/wall_s": 1.0,
        "profile/other/processor_s": 1.0,
    },
    {
        "step": 2,
        "profile/decode/wall_s": 5.0,
        "profile/decode/processor_s": 9.5,
        "profile/decode/tokens": 500.0,
        "profile/checkpoint/wall_s": 1.0,
        "profile/checkpoint/processor_s": 0.5,
        "profile/other/wall_s": 0.0,
        "profile/other/processor_s": 0.5,
    },
    {"step": 3, "train/loss": 0.5},
]


def test_the_table_has_means_over_the_profiled_steps_and_their_sum():
    assert stage_lines(ROWS) == [
        ["decode", "4.00", "80.0 %", "1.75", "400", "100"],
        ["checkpoint", "0.50", "10.0 %", "0.50", "", ""],
        ["other", "0.50", "10.0 %", "1.50", "", ""],
        ["step", "5.00", "100.0 %", "1.60", "", ""],
    ]
    assert stage_totals(ROWS)["decode"].tokens == 800


def test_a_run_without_a_profile_has_no_table():
    assert stage_lines([{"step": 1, "time/rollout_s": 3.0}]) == []


def test_the_text_is_aligned():
    lines = describe_stages(ROWS).splitlines()
    assert lines[0] == "stage       s a step    share  cores  tokens a step  tokens/s"
    assert lines[1] == "decode          4.00   80.0 %   1.75            400       100"
    assert lines[2] == "checkpoint      0.50   10.0 %   0.50"
