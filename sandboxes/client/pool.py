"""Sandboxes for many users at once: configuration, choice of the backend, leases."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sandboxes.base import SandboxError, SandboxPool
from sandboxes.client.lease import LeasedSandbox
from sandboxes.client.stream import StreamSandbox

__all__ = ["StreamPool", "SandboxConfig", "open_pool"]

_BACKENDS = ("auto", "docker", "local", "unsafe", "fake")
_MOST = 8


@dataclass(frozen=True)
class SandboxConfig:
    """Where untrusted code runs.

    | field | meaning |
    |---|---|
    | backend | docker, local (bubblewrap), unsafe (plain processes); auto: docker, else local |
    | allow_unsafe | must be true for backend=unsafe, which isolates nothing |
    | size | sandboxes at most; 0 is twice the number of cores, at most 8 |
    | hosts | Docker engines to spread the sandboxes over, as unix:///path or tcp://address:port; |
    | | none: the one of the environment |
    """

    backend: str = "auto"
    allow_unsafe: bool = False
    size: int = 0
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.backend not in _BACKENDS:
            raise ValueError(
                f"got sandbox.backend={self.backend!r}, wanted one of {', '.join(_BACKENDS)}"
            )
        if self.backend == "fake":
            raise ValueError(
                "got sandbox.backend='fake', which needs a script: "
                "construct sandboxes.backends.fake.FakePool(handler) and pass it on"
            )
        if self.backend == "unsafe" and not self.allow_unsafe:
            raise ValueError(
                "got sandbox.backend='unsafe' without sandbox.allow_unsafe=true: "
                "it runs code on this machine with nothing in between"
            )
        if self.size < 0:
            raise ValueError(f"got sandbox.size={self.size}, wanted 0 or more")
        if self.hosts and self.backend not in ("auto", "docker"):
            raise ValueError(
                f"got sandbox.hosts with sandbox.backend={self.backend!r}, wanted backend=docker"
            )
        for host in self.hosts:
            if host.startswith("ssh://"):
                raise ValueError(
                    f"got sandbox.hosts={host!r}; forward its socket with "
                    f"`ssh -N -L /tmp/engine.sock:/var/run/docker.sock {host[6:]}` "
                    "and give unix:///tmp/engine.sock"
                )
            if not host.startswith(("unix:///", "tcp://")):
                raise ValueError(
                    f"got sandbox.hosts={host!r}, wanted unix:///path or tcp://address:port"
                )


def open_pool(config: SandboxConfig | None = None) -> SandboxPool:
    """Sandboxes of the backend asked for. Raises SandboxError that says what to install or start."""
    config = config or SandboxConfig()
    size = config.size or min(_MOST, 2 * (os.cpu_count() or 1))
    if config.backend == "unsafe":
        from sandboxes.backends import unsafe

        return StreamPool(
            unsafe.start, size, f"unsafe: {size} plain processes, NOTHING is isolated"
        )
    reasons = []
    if config.backend in ("auto", "docker"):
        from sandboxes.backends import docker

        if not (reason := docker.available(config.hosts)):
            return docker.start_pool(size, config.hosts)
        reasons.append(f"docker: {reason}")
    if config.backend in ("auto", "local") and not config.hosts:
        from sandboxes.backends import bubblewrap as local

        if not (reason := local.available()):
            why = f" since {reasons[0]}" if reasons else ""
            return StreamPool(
                local.start,
                size,
                f"local: {size} bubblewrap sandboxes (isolation: namespace){why}",
            )
        reasons.append(f"local: {reason}")
    raise SandboxError(
        f"no sandbox on this machine. {'; '.join(reasons)}. Install Docker or bubblewrap"
    )


class StreamPool:
    """Starts sandboxes as they are wanted, up to `size`, and replaces the broken ones.

    All starts happen in one thread that lives as long as the pool, because a sandbox may end with the
    thread that started it.
    """

    def __init__(
        self,
        start: Callable[[], StreamSandbox],
        size: int,
        description: str,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._start, self._size, self._description, self._end = (
            start,
            size,
            description,
            end,
        )
        self._changed = threading.Condition()
        self._idle: list[StreamSandbox] = []
        self._sandboxes: set[StreamSandbox] = set()
        self._out = 0
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
        with self._changed:
            while not self._closed and self._out >= self._size:
                if not self._changed.wait(until - time.monotonic()):
                    raise SandboxError(
                        f"all {self._size} sandboxes are out and none came back in {timeout_s:g} s"
                    )
            if self._closed:
                raise SandboxError("the pool of sandboxes is closed")
            self._out += 1
        try:
            return LeasedSandbox(
                self._idle_sandbox() or self._new_sandbox(until), self._take_back
            )
        except BaseException:
            self._give_up_place()
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
            _end_quietly(sandbox)
        self._end()

    def _idle_sandbox(self) -> StreamSandbox | None:
        """One that is still alive; the dead ones are dropped."""
        while True:
            with self._changed:
                if not self._idle:
                    return None
                sandbox = self._idle.pop()
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
            raise SandboxError("the pool of sandboxes is closed") from None

    def _start_one(self) -> StreamSandbox:
        sandbox = self._start()
        with self._changed:
            if not self._closed:
                self._sandboxes.add(sandbox)
                return sandbox
        sandbox.close()
        raise SandboxError("the pool of sandboxes is closed")

    def _take_back(self, sandbox: StreamSandbox) -> None:
        try:
            sandbox.reset()
        except SandboxError:
            self._drop(sandbox)
        else:
            with self._changed:
                if not self._closed:
                    self._idle.append(sandbox)
        finally:
            self._give_up_place()

    def _drop(self, sandbox: StreamSandbox) -> None:
        with self._changed:
            self._sandboxes.discard(sandbox)
        _end_quietly(sandbox)

    def _give_up_place(self) -> None:
        with self._changed:
            self._out -= 1
            self._changed.notify()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _end_quietly(sandbox: StreamSandbox) -> None:
    """Ends a sandbox; where the engine is gone, the sandbox has seen its lease end and ends by itself."""
    with suppress(SandboxError):
        sandbox.close()
