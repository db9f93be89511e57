"""Ctrl-C and SIGTERM stop a training where nothing is left half-way, in all processes at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from envs.rollout import Limits
from sandboxes.commands import Terminated, exit_codes
from scgrpo.distributed.ranks import Ranks
from scgrpo.rollouts import RolloutError, Rollouts, SharedRollouts
from scgrpo.training.interrupts import Interrupts
from tests.scgrpo.distributed.processes import run_processes

LONG_S = 60.0


def send(number: int) -> None:
    """A signal to this process, whose handler has run when this returns."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)],
)
def test_a_signal_interrupts_at_once_but_not_what_is_held(
    number: int, error: type[BaseException]
):
    before = signal.getsignal(number)
    done: list[str] = []

    def work(*, held: bool) -> None:
        with Interrupts(LONG_S) as interrupts:
            with interrupts.delay() if held else nullcontext():
                send(number)
                done.append(f"held: {held}")
            done.append("behind it")

    for held in (True, False):
        with pytest.raises(error):
            work(held=held)
    assert done == ["held: True"]
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_does_not_wait():
    interrupts = Interrupts(LONG_S)

    def work() -> None:
        with interrupts, interrupts.delay():
            send(signal.SIGINT)
            assert not interrupts.gives_up
            send(signal.SIGINT)
            pytest.fail("still held")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert interrupts.gives_up


def test_after_the_grace_time_a_terminated_update_is_given_up():
    interrupts = Interrupts(0.2)

    def work() -> None:
        with interrupts, interrupts.delay():
            send(signal.SIGTERM)
            send(signal.SIGTERM)  # a launcher passes it on
            time.sleep(LONG_S)
            pytest.fail("never given up")

    with pytest.raises(Terminated):
        work()
    assert interrupts.gives_up


def test_with_others_a_signal_waits_for_the_place_that_all_agree_on():
    with Interrupts(LONG_S, agreed=True) as interrupts:
        send(signal.SIGTERM)
        with interrupts.delay():
            pass
        with pytest.raises(Terminated), interrupts.at_once():
            pytest.fail("it was asked to stop before")


def test_a_terminated_command_has_an_exit_code_of_its_own(
    capsys: pytest.CaptureFixture[str],
):
    with pytest.raises(SystemExit) as stopped, exit_codes("prog"):
        raise Terminated("stopped; continue with: this")
    assert stopped.value.code == 143
    assert "prog: stopped; continue with: this" in capsys.readouterr().err


def stopped(ranks: Ranks, out: Path) -> None:
    """Rank 1 is asked to stop in the middle of its episodes; rank 0 only hears of it."""
    with (
        Interrupts(LONG_S, ranks.watch, agreed=True) as interrupts,
        Rollouts(
            "toy_guess", Limits(turn_tokens=4, episode_tokens=200), threads=1
        ) as play,
    ):
        rollouts = SharedRollouts(play, ranks, interrupts)
        tasks = play.env.tasks("train", 0)[:2]
        assert len(rollouts(None, tasks, group=2, seed=0)) == 4
        play._one = sleeps(ranks)
        try:
            rollouts(None, tasks, group=2, seed=0)
        except Terminated:
            # Both are at the same place.
            (out / str(ranks.rank)).write_text(str(ranks.all_gather(ranks.rank)))


def sleeps(ranks: Ranks) -> Any:
    def one(policy: Any, *_: Any) -> None:
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2)

    return one


def a_signal_to_one_process_stops_all_at_one_place(tmp_path: Path):
    assert run_processes(stopped, tmp_path) == [0, 0]
    for rank in range(2):
        assert (tmp_path / str(rank)).read_text() == "[0, 1]"


class Broken:
    """A policy whose engine broke on rank 1."""

    version = 0

    def __init__(self, ranks: Ranks) -> None:
        self.failure = "CUDA out of memory (OutOfMemoryError)" if ranks.rank else ""

    def close(self) -> None:
        pass

    def begin(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("the policy gives no turns")


def plays_with_a_broken_policy(ranks: Ranks, out: Path) -> None:
    with Rollouts(
        "toy_guess", Limits(turn_tokens=4, episode_tokens=200), threads=1
    ) as play:
        rollouts = SharedRollouts(play, ranks)
        policy: Any = Broken(ranks)
        with pytest.raises(RolloutError) as raised:
            rollouts(policy, play.env.tasks("train", 0)[:2], group=2, seed=0)
        (out / str(ranks.rank)).write_text(str(raised.value))


def a_broken_policy_of_one_process_ends_all_and_names_it(tmp_path: Path):
    assert run_processes(plays_with_a_broken_policy, tmp_path) == [0, 0]
    for rank in range(2):
        said = (tmp_path / str(rank)).read_text()
        assert "of process 1 broke" in said
        assert "CUDA out of memory" in said


@pytest.mark.daily(1)  # each starts processes
@pytest.mark.parametrize(
    "claim",
    [
        a_signal_to_one_process_stops_all_at_one_place,
        a_broken_policy_of_one_process_ends_all_and_names_it,
    ],
    ids=lambda claim: claim.__name__,
)
def test_two_processes(claim: Callable[[Path], None], tmp_path: Path):
    """They stop at one place."""
    claim(tmp_path)
