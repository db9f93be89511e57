"""A pool of sandboxes: leases for many users at once, and replacement of what breaks."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self

from sandboxes.base import SandboxError
from sandboxes.client.lease import LeasedSandbox
from sandboxes.client.stream import StreamSandbox

__all__ = ["StreamPool"]

_CLOSED = "the pool of sandboxes is closed"


class StreamPool:
    """Starts sandboxes on demand, up to `size`, and replaces the broken ones.

    All starts happen in one thread that lives as long as the pool, because PDEATHSIG kills a
    sandbox when the thread that started it exits.

    | argument | meaning |
    |---|---|
    | start | starts a sandbox; raises SandboxError |
    | size | sandboxes at most |
    | description | see `SandboxPool.description` |
    | end | called once all sandboxes have ended |
    """

    def __init__(
        self,
        start: Callable[[], StreamSandbox],
        size: int,
        description: str,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._start, self._end = start, end
        self._size, self._description = size, description
        self._changed = threading.Condition()
        self._idle: list[StreamSandbox] = []
        self._sandboxes: set[StreamSandbox] = set()
        self._leased = 0
        self._closed = False
        self._starter = ThreadPoolExecutor(1, "sandboxes")
        atexit.register(self.close)

    @property
    def description(self) -> str:
        """See `SandboxPool.description`."""
        return self._description

    def lease(self, timeout_s: float = 60.0) -> LeasedSandbox:
        """See `SandboxPool.lease`."""
        until = time.monotonic() + timeout_s
        self._reserve_place(until, timeout_s)
        try:
            sandbox = self._idle_sandbox() or self._new_sandbox(until)
            return LeasedSandbox(sandbox, self._return_to_pool)
        except BaseException:
            self._release_place()
            raise

    def close(self) -> None:
        """See `SandboxPool.close`."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            sandboxes, self._sandboxes = list(self._sandboxes), set()
            self._idle.clear()
            self._changed.notify_all()

        atexit.unregister(self.close)
        self._starter.shutdown(cancel_futures=True)
        for sandbox in sandboxes:
            _close_quietly(sandbox)
        self._end()

    def _reserve_place(self, until: float, timeout_s: float) -> None:
        """Waits until fewer than `size` sandboxes are leased and counts one more."""
        with self._changed:
            while not self._closed and self._leased >= self._size:
                if not self._changed.wait(until - time.monotonic()):
                    raise SandboxError(
                        f"all {self._size} sandboxes are leased; "
                        f"none was returned within {timeout_s:g} s"
                    )
            if self._closed:
                raise SandboxError(_CLOSED)
            self._leased += 1

    def _release_place(self) -> None:
        with self._changed:
            self._leased -= 1
            self._changed.notify()

    def _idle_sandbox(self) -> StreamSandbox | None:
        """One that is still alive; the dead ones are dropped."""
        while True:
            with self._changed:
                if not self._idle:
                    return None
                sandbox = self._idle.pop()
            # Outside the lock: a dead sandbox takes seconds to find out.
            try:
                sandbox.ping()
            except SandboxError:
                self._drop(sandbox)
            else:
                return sandbox

    def _new_sandbox(self, until: float) -> StreamSandbox:
        try:
            future = self._starter.submit(self._start_one)
            return future.result(max(1.0, until - time.monotonic()))
        except TimeoutError:
            raise SandboxError("no sandbox started in time") from None
        except RuntimeError as error:
            if isinstance(error, SandboxError):
                raise
            # The executor takes no work after its shutdown.
            raise SandboxError(_CLOSED) from None

    def _start_one(self) -> StreamSandbox:
        sandbox = self._start()
        with self._changed:
            if not self._closed:
                self._sandboxes.add(sandbox)
                return sandbox

        # The pool was closed meanwhile, so it would never end this one.
        sandbox.close()
        raise SandboxError(_CLOSED)

    def _return_to_pool(self, sandbox: StreamSandbox) -> None:
        try:
            sandbox.reset()
        except SandboxError:
            self._drop(sandbox)
        else:
            with self._changed:
                if not self._closed:
                    self._idle.append(sandbox)
        finally:
            self._release_place()

    def _drop(self, sandbox: StreamSandbox) -> None:
        with self._changed:
            self._sandboxes.discard(sandbox)
        _close_quietly(sandbox)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _close_quietly(sandbox: StreamSandbox) -> None:
    """Ends a sandbox. If the engine is gone, the sandbox sees its lease end and ends by itself."""
    with suppress(SandboxError):
        sandbox.close()
