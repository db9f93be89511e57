"""A process that is lost ends the others in seconds, with its reason."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scgrpo.distributed import peers
from scgrpo.distributed.peers import PeerLostError
from scgrpo.distributed.ranks import Ranks
from scgrpo.training.interrupts import Interrupts
from tests.scgrpo.distributed.processes import FSDP, run_processes

LONG_S = 120


def busy(ranks: Ranks, out: Path, end: str) -> None:
    """Rank 0 plays, without a word to anyone; rank 1 ends."""
    peers.SILENCE_S = 3.0
    if not ranks.is_main_process:
        time.sleep(2)
        if end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("no such task")
    try:
        with (
            Interrupts(1.0, ranks.watch, agreed=True) as interrupts,
            interrupts.at_once(),
        ):
            time.sleep(LONG_S)
    except PeerLostError as error:
        (out / end).write_text(str(error))
        raise


def a_process_that_breaks_says_why_to_one_that_plays(tmp_path: Path):
    assert run_processes(busy, tmp_path, "broke") == [1, 1]
    said = (tmp_path / "broke").read_text()
    assert "process 1 ended: ValueError: no such task" in said
    assert "resume=true" in said


def a_process_that_is_killed_is_missed(tmp_path: Path):
    assert run_processes(busy, tmp_path, "killed") == [1, -signal.SIGKILL]
    assert "process 1 has given no sign for 3 s" in (tmp_path / "killed").read_text()


def stuck(ranks: Ranks) -> None:
    """Rank 0 waits where no signal reaches it, as in a wait for a GPU; rank 1 breaks."""
    peers.STUCK_S = 1.0
    if not ranks.is_main_process:
        time.sleep(1)
        raise torch.OutOfMemoryError("CUDA out of memory")
    sleep, ends = ctypes.CDLL(None).sleep, time.monotonic() + LONG_S
    with Interrupts(LONG_S, ranks.watch, agreed=True):
        while time.monotonic() < ends:
            sleep(LONG_S)


def a_process_that_is_stuck_ends_itself(_: Path):
    assert run_processes(stuck, launch=FSDP) == [1, 1]


def torn(ranks: Ranks, out: Path) -> None:
    """Rank 0 waits for a tensor of rank 1."""
    if not ranks.is_main_process:
        raise torch.OutOfMemoryError("CUDA out of memory")
    try:
        ranks.all_reduce_(torch.ones(2))
    except PeerLostError as error:
        (out / "said").write_text(str(error))


def a_torn_connection_has_the_reason_of_whoever_tore_it(tmp_path: Path):
    assert run_processes(torn, tmp_path)[1] == 1
    assert (
        "process 1 ended: OutOfMemoryError: CUDA out" in (tmp_path / "said").read_text()
    )


def leaves_early(ranks: Ranks, out: Path) -> None:
    """Rank 1 has nothing to do any more where rank 0 waits for it."""
    if ranks.is_main_process:
        try:
            ranks.meet()
        except PeerLostError as error:
            (out / "said").write_text(str(error))


def a_process_that_left_is_not_waited_for(tmp_path: Path):
    assert run_processes(leaves_early, tmp_path)[0] == 0
    assert "process 1 was stopped" in (tmp_path / "said").read_text()


@pytest.mark.daily(1)  # each starts processes
@pytest.mark.parametrize(
    "claim",
    [
        a_process_that_breaks_says_why_to_one_that_plays,
        a_process_that_is_killed_is_missed,
        a_process_that_is_stuck_ends_itself,
        a_torn_connection_has_the_reason_of_whoever_tore_it,
        a_process_that_left_is_not_waited_for,
    ],
    ids=lambda claim: claim.__name__,
)
def test_a_lost_process(claim: Callable[[Path], None], tmp_path: Path):
    """Noticed in seconds, whatever the others do."""
    claim(tmp_path)
