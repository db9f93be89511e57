"""Work beside the main thread: its value, its errors, its end."""

import random
import threading
import time

import pytest

from scgrpo.training.background import Background, Lookahead


def test_a_value_is_computed_beside_and_taken_once():
    work = Background[str]("beside")
    main = threading.current_thread()
    work.begin(lambda: "main" if threading.current_thread() is main else "beside")
    assert work.has_begun
    work.wait()
    assert work.take() == "beside"
    assert not work.has_begun
    work.wait()
    work.begin(lambda: "again")
    assert work.take() == "again"
    work.close()


def test_an_error_reaches_whoever_waits_and_whoever_takes():
    work = Background[None]("beside")

    def fail() -> None:
        raise OSError("gone")

    work.begin(fail)
    with pytest.raises(OSError, match="gone"):
        work.wait()
    with pytest.raises(OSError, match="gone"):
        work.take()
    work.close()


def test_a_value_that_nobody_took_is_not_lost_to_the_next():
    work = Background[int]("beside")
    work.begin(lambda: 1)
    with pytest.raises(RuntimeError, match="not been taken"):
        work.begin(lambda: 2)
    assert work.take() == 1
    work.close()


def test_closing_waits_for_the_work():
    work, goes_on = Background[None]("beside"), threading.Event()
    ended: list[bool] = []

    def run() -> None:
        ended.append(goes_on.wait(30))

    work.begin(run)
    threading.Timer(0.05, goes_on.set).start()
    work.close()
    assert ended == [True]
    work.close()


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_no_group_of_a_thousand_is_further_behind_than_it_may_be(ahead: int):
    steps, groups = 250, 4
    chance = random.Random(ahead)
    version, under_way, most = 0, 0, 0
    drawn: list[int] = []

    def work(step: int):
        drawn.append(step)
        seconds = [chance.random() * 1e-3 for _ in range(groups)]

        def play() -> list[int]:
            versions = []
            for s in seconds:
                versions.append(version)
                time.sleep(s)
            return versions

        return play

    values = Lookahead(ahead, 0, steps, work)
    behind: list[int] = []
    for step in range(1, steps + 1):
        played = values.take(step)
        values.begin_after(step)
        under_way = len(drawn) - step + 1
        most = max(most, under_way)
        behind += [version - v for v in played]
        version = step
    values.close()
    assert drawn == list(range(1, steps + 1))
    assert len(behind) == steps * groups
    assert min(behind) >= 0
    assert max(behind) <= ahead
    assert most == ahead + 1


def test_what_was_under_way_is_begun_again_by_whoever_goes_on():
    drawn: list[int] = []

    def work(step: int):
        drawn.append(step)
        return lambda: step

    values = Lookahead(2, 4, 7, work)
    assert [values.take(step) for step in (5,)] == [5]
    values.begin_after(5)
    assert drawn == [5, 6, 7]
    assert values.take(6) == 6
    values.begin_after(6)
    assert drawn == [5, 6, 7]
    values.close()
