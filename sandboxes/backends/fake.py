"""Scripted sandboxes for tests: they store files, and a function answers commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

from sandboxes.base import ExecResult, Isolation, SandboxError
from sandboxes.inside.workspace import components

__all__ = ["FakePool", "FakeSandbox", "Handler"]

Handler = Callable[[Sequence[str], dict[str, bytes], bytes], ExecResult]
"""Answers a command, given argv, the sandbox's files (which it may change) and its input."""


class FakeSandbox:
    """A sandbox that runs nothing. Its handler may raise SandboxError, as a broken one would."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._files: dict[str, bytes] = {}
        self._closed = False

    @property
    def isolation(self) -> Isolation:
        """NONE, but there is nothing to isolate."""
        return Isolation.NONE

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        cwd: str = ".",
    ) -> ExecResult:
        """What the handler answers; it may heed neither the deadline nor `cwd`."""
        return self._handler(argv, self._open_files(), stdin)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `Sandbox.write`."""
        by_name = {_name(path): bytes(content) for path, content in files.items()}
        self._open_files().update(by_name)

    def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        files, name = self._open_files(), _name(path)
        if name not in files:
            raise FileNotFoundError(f"{path}: no such file")
        return files[name]

    def reset(self) -> None:
        """See `Sandbox.reset`."""
        self._open_files().clear()

    def close(self) -> None:
        """See `Sandbox.close`."""
        self._closed = True

    def _open_files(self) -> dict[str, bytes]:
        """The files of a sandbox that is not closed. Raises SandboxError."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        return self._files

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class FakePool:
    """Any number of scripted sandboxes."""

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

    def __exit__(self, *exc: object) -> None:
        self.close()


def _name(path: str) -> str:
    """A path without `.` and empty parts. Raises ValueError."""
    return "/".join(components(path))
