"""Ctrl-C and SIGTERM in a training: when they stop it, and that all processes stop at one place."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from sandboxes.commands import Terminated
from scgrpo.distributed.peers import (
    PeerLostError,
    PeerWatch,
    advice,
    interrupt_main_thread,
)

__all__ = ["Interrupts"]

HANDLED = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 3.0

logger = logging.getLogger(__name__)


class Interrupts:
    """What the two signals do while the block runs, if it runs in the main thread.

    They interrupt it by KeyboardInterrupt or, for SIGTERM, Terminated. Not in `delay`, which they
    interrupt at its end. With `agreed` they interrupt nothing but `at_once`: one of several
    processes that left elsewhere would let the others wait. All of them hear of a signal to one.

    Ctrl-C once more interrupts anywhere; after a SIGTERM the same happens in `grace_s` seconds, and
    `gives_up` is true.
    """

    def __init__(
        self, grace_s: float, watch: PeerWatch | None = None, *, agreed: bool = False
    ) -> None:
        self._grace_s = grace_s
        self._watch = watch
        self._raises = not agreed
        self._pending: BaseException | None = None
        self._noted_at: float | None = None
        self.gives_up = False
        self._timer: threading.Timer | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python lets the main thread alone set and run signal handlers.
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._stop_timer()

    @contextmanager
    def delay(self) -> Iterator[None]:
        """Signals wait until the block ends, so that no weight is left half-way."""
        before, self._raises = self._raises, False
        try:
            yield
        finally:
            self._raises = before
        if before:
            self._raise_pending()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Signals interrupt the block, also those from before it, if the main thread runs it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before, self._raises = self._raises, True
        try:
            self._raise_pending()
            yield
        finally:
            self._raises = before

    def _handle(self, number: int, _: object) -> None:
        if self._watch is not None and self._watch.lost:
            self._pending = PeerLostError(advice(self._watch.lost))
        elif self._noted_at is None:
            self._note(number)
        elif number == signal.SIGINT and not self._is_echo():
            self.gives_up = True
            self._pending = KeyboardInterrupt()
        if self._raises or self.gives_up:
            self._raise_pending()

    def _note(self, number: int) -> None:
        """Takes down the first signal, and tells the other processes."""
        self._noted_at = time.monotonic()
        is_ctrl_c = number == signal.SIGINT
        self._pending = KeyboardInterrupt() if is_ctrl_c else Terminated()
        if self._watch is not None:
            self._watch.request_stop(number)
        if self._raises:
            return
        if is_ctrl_c:
            logger.info("stopping after this step's update; Ctrl-C again stops now")
        else:
            logger.info("stopping after this step's update, or in %g s", self._grace_s)
            self._timer = threading.Timer(self._grace_s, self._give_up)
            self._timer.daemon = True
            self._timer.start()

    def _is_echo(self) -> bool:
        """Whether it may be the same Ctrl-C: a launcher passes on what processes have already."""
        assert self._noted_at is not None
        return self._watch is not None and time.monotonic() - self._noted_at < ECHO_S

    def _give_up(self) -> None:
        self.gives_up = True
        # Its handler runs in the main thread.
        interrupt_main_thread(signal.SIGTERM)

    def _raise_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            self._stop_timer()
            raise pending

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
