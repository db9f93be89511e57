"""Sandboxes over several engines: each starts where the fewest are, and a dead engine is left out."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from sandboxes.base import SandboxError
from sandboxes.client.stream import StreamSandbox

__all__ = ["Engine", "Engines"]

LEFT_OUT_S = 10.0
"""How long an engine that did not answer is asked only when no other can start a sandbox."""


class Engine(Protocol):
    """What starts sandboxes."""

    @property
    def name(self) -> str:
        """What the log calls it."""
        ...

    def start(self) -> StreamSandbox:
        """A new sandbox. Raises SandboxError."""
        ...

    def fault(self) -> str:
        """Empty where it answers, else why not."""
        ...

    def close(self) -> None:
        """Lets go of the connection."""
        ...


class Engines:
    """Starts each sandbox on the engine that carries the fewest of those that answer."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = list(engines)
        self._lock = threading.Lock()
        self._sandboxes = dict.fromkeys(range(len(self._engines)), 0)
        self._out_until: dict[int, float] = {}

    def start(self) -> StreamSandbox:
        """A sandbox. Raises SandboxError with every engine's reason where none can start one."""
        reasons = []
        for place in self._order():
            try:
                sandbox = self._engines[place].start()
            except SandboxError as error:
                reasons.append((self._engines[place].name, error))
                self._judge(place)
            else:
                return self._counted(place, sandbox)
        if len(reasons) == 1:
            raise reasons[0][1]
        raise SandboxError("; ".join(f"{name}: {error}" for name, error in reasons))

    def close(self) -> None:
        """Lets go of every engine."""
        for engine in self._engines:
            engine.close()

    def _order(self) -> list[int]:
        """The emptiest first; those that are left out come last, for when all others fail."""
        now = time.monotonic()
        with self._lock:
            return sorted(
                self._sandboxes,
                key=lambda at: (now < self._due(at), self._sandboxes[at]),
            )

    def _due(self, place: int) -> float:
        return self._out_until.get(place, 0.0)

    def _judge(self, place: int) -> None:
        """Leaves an engine out where it was not the sandbox but the engine that failed."""
        if fault := self._engines[place].fault():
            if place not in self._out_until:
                self._say(place, f"is left out: {fault}")
            self._out_until[place] = time.monotonic() + LEFT_OUT_S

    def _counted(self, place: int, sandbox: StreamSandbox) -> StreamSandbox:
        if self._out_until.pop(place, None) is not None:
            self._say(place, "answers again")

        def over() -> None:
            with self._lock:
                self._sandboxes[place] -= 1

        with self._lock:
            self._sandboxes[place] += 1
        sandbox.at_end(over)
        return sandbox

    def _say(self, place: int, what: str) -> None:
        print(f"[sandbox] engine {self._engines[place].name} {what}", file=sys.stderr)
