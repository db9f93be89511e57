"""Scripted sandboxes for tests: files are kept, commands are answered by a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from sandboxes.base import ExecResult, Isolation, SandboxError
from sandboxes.inside.workspace import components

__all__ = ["FakeSandbox", "FakePool", "Handler"]

Handler = Callable[[Sequence[str], dict[str, bytes], bytes], ExecResult]
"""Answers a command, given argv, the sandbox's files (which it may change) and standard input."""


class FakeSandbox:
    """A sandbox that runs nothing. Its handler may raise SandboxError, as a broken sandbox would."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._files: dict[str, bytes] = {}
        self._closed = False

    @property
    def isolation(self) -> Isolation:
        """Nothing, but there is nothing to isolate."""
        return Isolation.NONE

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        cwd: str = ".",
    ) -> ExecResult:
        """What the handler answers; the deadline and `cwd` are its own affair."""
        return self._handler(argv, self._held(), stdin)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `Sandbox.write`."""
        self._held().update(
            {"/".join(components(path)): bytes(text) for path, text in files.items()}
        )

    def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        name = "/".join(components(path))
        if name not in self._held():
            raise FileNotFoundError(f"{path}: no such file")
        return self._files[name]

    def reset(self) -> None:
        """See `Sandbox.reset`."""
        self._held().clear()

    def close(self) -> None:
        """See `Sandbox.close`."""
        self._closed = True

    def _held(self) -> dict[str, bytes]:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        return self._files

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class FakePool:
    """As many scripted sandboxes as are asked for."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._closed = False

    @property
    def description(self) -> str:
        """See `SandboxPool.description`."""
        return "fake: scripted answers, nothing runs"

    def lease(self, timeout_s: float = 60.0) -> FakeSandbox:
        """A new sandbox; never waits."""
        if self._closed:
            raise SandboxError("the pool of sandboxes is closed")
        return FakeSandbox(self._handler)

    def close(self) -> None:
        """See `SandboxPool.close`."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
