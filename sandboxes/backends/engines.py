"""Sandboxes over several engines: each starts on the least loaded one; dead engines are skipped."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from sandboxes.base import SandboxError
from sandboxes.client.stream import StreamSandbox

__all__ = ["Engine", "Engines"]

SKIP_S = 10.0
"""How long an engine that did not answer is tried only when no other can start a sandbox."""


class Engine(Protocol):
    """What starts sandboxes."""

    @property
    def name(self) -> str:
        """Its name in the log."""
        ...

    def start(self) -> StreamSandbox:
        """A new sandbox. Raises SandboxError."""
        ...

    def fault(self) -> str:
        """Empty if the engine answers, else why not."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


class Engines:
    """Starts each sandbox on the engine that runs the fewest, of those that answer."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = list(engines)
        self._lock = threading.Lock()
        self._running = dict.fromkeys(range(len(self._engines)), 0)
        self._skipped_until: dict[int, float] = {}

    def start(self) -> StreamSandbox:
        """A sandbox. Raises SandboxError with every engine's reason if none can start one."""
        errors: list[tuple[str, SandboxError]] = []
        for index in self._order():
            engine = self._engines[index]
            try:
                sandbox = engine.start()
            except SandboxError as error:
                errors.append((engine.name, error))
                self._skip_if_dead(index)
            else:
                self._count(index, sandbox)
                return sandbox

        if len(errors) == 1:
            raise errors[0][1]
        raise SandboxError("; ".join(f"{name}: {error}" for name, error in errors))

    def close(self) -> None:
        """Ends the connection to every engine."""
        for engine in self._engines:
            engine.close()

    def _order(self) -> list[int]:
        """The least loaded first; skipped ones come last, in case all others fail."""
        now = time.monotonic()

        def key(index: int) -> tuple[bool, int]:
            is_skipped = now < self._skipped_until.get(index, 0.0)
            return is_skipped, self._running[index]

        with self._lock:
            return sorted(self._running, key=key)

    def _skip_if_dead(self, index: int) -> None:
        """Skips an engine for a while if it was not the sandbox but the engine that failed."""
        fault = self._engines[index].fault()
        if fault:
            if index not in self._skipped_until:
                self._log(index, f"is skipped: {fault}")
            self._skipped_until[index] = time.monotonic() + SKIP_S

    def _count(self, index: int, sandbox: StreamSandbox) -> None:
        """Counts a running sandbox of an engine until it is closed."""
        if self._skipped_until.pop(index, None) is not None:
            self._log(index, "answers again")

        def uncount() -> None:
            with self._lock:
                self._running[index] -= 1

        with self._lock:
            self._running[index] += 1
        sandbox.on_close(uncount)

    def _log(self, index: int, message: str) -> None:
        print(
            f"[sandbox] engine {self._engines[index].name} {message}", file=sys.stderr
        )
