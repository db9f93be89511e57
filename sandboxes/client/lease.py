"""A user's end of a lease: a sandbox until it is closed, which gives it back wiped."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from sandboxes.base import ExecResult, Isolation, SandboxError
from sandboxes.client.stream import StreamSandbox
from sandboxes.inside.workspace import components
from sandboxes.limits import compose_limits

__all__ = ["LeasedSandbox"]

_BROKEN = {
    *(errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    *(errno.ENOSPC, errno.EPERM, errno.EROFS),
}
"""Errors of a write that the writer has no part in, where no command has run yet."""

_NO_ROOM = {errno.EDQUOT, errno.ENOSPC}
_PAGE = 4096


class LeasedSandbox:
    """A sandbox until it is closed, which gives it back wiped."""

    def __init__(
        self, sandbox: StreamSandbox, give_back: Callable[[StreamSandbox], None]
    ) -> None:
        self._sandbox, self._give_back = sandbox, give_back
        self._over = self._used = False
        self._sizes: dict[str, int] = {}

    @property
    def isolation(self) -> Isolation:
        """See `Sandbox.isolation`."""
        return self._sandbox.isolation

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        cwd: str = ".",
    ) -> ExecResult:
        """See `Sandbox.run`."""
        self._used = True
        return self._held().run(argv, timeout_s=timeout_s, stdin=stdin, cwd=cwd)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `Sandbox.write`.

        Raises SandboxError, and drops the sandbox, where one that no command has used yet cannot
        take files that it has room for.
        """
        sandbox = self._held()
        try:
            sandbox.write(files)
        except OSError as error:
            if self._used or not _is_broken(error.errno, self._sizes | _sizes(files)):
                raise
            sandbox.close()
            name = os.strerror(error.errno or 0)
            raise SandboxError(
                f"a fresh sandbox does not take a file: {name}"
            ) from error
        self._sizes |= _sizes(files)

    def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        return self._held().read(path)

    def reset(self) -> None:
        """See `Sandbox.reset`."""
        self._held().reset()
        self._used = False
        self._sizes.clear()

    def close(self) -> None:
        """Gives the sandbox back. Safe to call twice."""
        if not self._over:
            self._over = True
            self._give_back(self._sandbox)

    def _held(self) -> StreamSandbox:
        if self._over:
            raise SandboxError("this lease is over")
        return self._sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _sizes(files: Mapping[str, bytes]) -> dict[str, int]:
    return {"/".join(components(path)): len(content) for path, content in files.items()}


def _is_broken(number: int | None, sizes: Mapping[str, int]) -> bool:
    """Whether the error of a write is the sandbox's; `sizes` are of all files since its start."""
    if number not in _NO_ROOM:
        return number in _BROKEN
    folders = {path[:at] for path in sizes for at, one in enumerate(path) if one == "/"}
    pages = sum(-(-size // _PAGE) for size in sizes.values())
    limits = compose_limits()
    work = next(iter(limits.folders_mib))
    return (
        pages * _PAGE <= limits.folders_mib[work] << 20
        and len(sizes) + len(folders) < limits.folders_inodes[work]
    )
