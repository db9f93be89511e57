"""Whether the other processes of a training are still there, and why one is not.

A torn connection shows at once, but only to who uses it: a process that plays episodes, or waits
for a GPU, would hear of it minutes later or never. So each process counts up a number in the store
that they were connected by, leaves its reason there if it breaks, and looks at the others' once a
second.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist

from sandboxes.commands import CommandError

__all__ = ["PeerLostError", "PeerWatch", "advice", "interrupt_main_thread"]

BEAT_S = 1.0
SILENCE_S = 30.0
"""After this time without a beat a process counts as lost: its node may be gone."""
REASON_S = 2.0
"""How long a torn connection waits for the reason of whoever tore it."""
STUCK_S = 15.0
"""How long a process may wait for one that is lost before it ends itself."""
MEETING_POLL_S = 0.05
STORE_TIMEOUT = timedelta(seconds=10)


class PeerLostError(CommandError):
    """Another process of the training is gone, or could not go on; the message says what to do."""


class PeerWatch:
    """Tells the other processes that this one is there, and notices if one of them is not.

    A loss interrupts the main thread as SIGTERM does, whose handler finds the reason in `lost`. A
    main thread that is stuck, as it can be in a wait for a GPU, cannot be interrupted: then the
    process ends itself.

    | attribute | meaning |
    |---|---|
    | lost | which process is gone, and why; empty while all are there |
    | stop_signal | the signal by which some process was asked to stop; None for none |
    """

    def __init__(self, rank: int, count: int, name: str, *, sharded: bool) -> None:
        """`name` is the training's own: a store may serve several, one after the other."""
        self.lost = ""
        self.stop_signal: signal.Signals | None = None
        self._rank = rank
        self._peers = [peer for peer in range(count) if peer != rank]
        self._sharded = sharded
        self._meetings = 0
        self._lost_at = 0.0
        self._waiting_since: float | None = None
        self._left = threading.Event()
        # A connection of its own: the others' may be held by a thread that waits.
        store = dist.TCPStore(  # pyright: ignore
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=STORE_TIMEOUT,
        )
        self._store = dist.PrefixStore(name, store)  # pyright: ignore
        self._thread = threading.Thread(target=self._loop, name="peers", daemon=True)
        self._thread.start()

    def request_stop(self, number: int) -> None:
        """Has every other process get the signal of this number."""
        self.stop_signal = signal.Signals(number)
        with suppress(RuntimeError):
            self._store.set("stop", str(int(number)))

    def meet(self) -> None:
        """Returns once every process is here. Other than a collective, a signal interrupts it.

        Raises RuntimeError if a process has left that was not here.
        """
        self._meetings += 1
        key = f"meeting/{self._meetings}"
        self._store.add(key, 1)
        while True:
            left = [peer for peer in self._peers if self._store.check([f"end/{peer}"])]
            if self._store.add(key, 0) > len(self._peers):
                return
            if left:
                raise RuntimeError(f"process {left[0]} was stopped")
            time.sleep(MEETING_POLL_S)

    def leave(self, reason: str = "") -> None:
        """Says that this process ends, and the reason if it broke. Safe to call twice."""
        if self._left.is_set():
            return
        self._left.set()
        self._thread.join()
        with suppress(RuntimeError):
            self._store.set(f"end/{self._rank}", reason)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turns a torn connection in the block into a PeerLostError with its reason."""
        in_main = threading.current_thread() is threading.main_thread()
        if in_main:
            self._waiting_since = time.monotonic()
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._note_loss(self._reason() or _first_line(error))
            raise PeerLostError(advice(self.lost)) from error
        finally:
            if in_main:
                self._waiting_since = None

    def _reason(self) -> str:
        """Which process ended and why; empty if none could say so in time."""
        deadline = time.monotonic() + REASON_S
        while not self.lost and time.monotonic() < deadline:
            with suppress(RuntimeError):
                self._look_for_reasons()
            time.sleep(REASON_S / 20)
        return self.lost

    def _note_loss(self, reason: str) -> None:
        # The first is the cause of the others.
        if not self.lost:
            self._lost_at = time.monotonic()
            self.lost = reason

    def _loop(self) -> None:
        now = time.monotonic()
        seen: dict[int, tuple[int, float]] = {peer: (-1, now) for peer in self._peers}
        while not self._left.wait(BEAT_S):
            if self.lost:
                self._end_if_stuck()
                continue
            try:
                self._store.add(f"beat/{self._rank}", 1)
                self._look_for_reasons()
                self._look_for_silence(seen)
                self._look_for_stop()
            except RuntimeError:
                self._note_loss("the process that connects all of them is gone")
            if self.lost:
                interrupt_main_thread(signal.SIGTERM)

    def _look_for_reasons(self) -> None:
        for peer in self._peers:
            key = f"end/{peer}"
            if self._store.check([key]) and (reason := self._store.get(key)):
                self._note_loss(f"process {peer} ended: {reason.decode()}")
                return

    def _look_for_silence(self, seen: dict[int, tuple[int, float]]) -> None:
        now = time.monotonic()
        for peer, (before, since) in seen.items():
            count = self._store.add(f"beat/{peer}", 0)
            if count != before or self._store.check([f"end/{peer}"]):
                seen[peer] = (count, now)
            elif now - since > SILENCE_S:
                self._note_loss(
                    f"process {peer} has given no sign for {SILENCE_S:.0f} s"
                )

    def _look_for_stop(self) -> None:
        if self.stop_signal is None and self._store.check(["stop"]):
            self.stop_signal = signal.Signals(int(self._store.get("stop")))
            interrupt_main_thread(self.stop_signal)

    def _end_if_stuck(self) -> None:
        # Parts of a sharded model are of no use without the others, so nothing is lost.
        since = self._lost_at if self._sharded else self._waiting_since
        if since is None:
            return
        if time.monotonic() - max(since, self._lost_at) > STUCK_S:
            print(advice(self.lost), file=sys.stderr, flush=True)
            os._exit(1)


def interrupt_main_thread(number: signal.Signals) -> None:
    """Sends the main thread a signal, which ends a wait in it, if Python handles that signal."""
    main = threading.main_thread().ident
    if callable(signal.getsignal(number)) and main is not None:
        signal.pthread_kill(main, number)


def advice(reason: str) -> str:
    """What to say of a lost process."""
    return (
        "another process of this training ended, so this one ends too. Fix that, then continue "
        f"with resume=true ({reason})"
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
