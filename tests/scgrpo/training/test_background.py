"""Work beside the main thread: its value, its errors, its end."""

import threading

import pytest

from scgrpo.training.background import Background


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
