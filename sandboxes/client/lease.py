"""A user's end of a lease: a sandbox until it is closed, which returns it to the pool, wiped."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from sandboxes.base import ExecResult, Isolation, SandboxError
from sandboxes.client.stream import StreamSandbox
from sandboxes.inside.workspace import components
from sandboxes.limits import compose_limits

__all__ = ["LeasedSandbox"]

_NO_ROOM = {errno.EDQUOT, errno.ENOSPC}
_SANDBOX_FAULTS = {
    errno.EACCES,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EPERM,
    errno.EROFS,
}
"""Errors of a write that are not the writer's fault, if no command has run yet."""

_PAGE = 4096


class LeasedSandbox:
    """A sandbox until it is closed, which returns it to the pool, wiped.

    `give_back` is called with the sandbox once, at the first `close`.
    """

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
        return self._current().run(argv, timeout_s=timeout_s, stdin=stdin, cwd=cwd)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `Sandbox.write`.

        Raises SandboxError, and drops the sandbox, if one that no command has used yet cannot
        take files that it has room for.
        """
        sandbox = self._current()
        sizes = self._sizes | _sizes(files)
        try:
            sandbox.write(files)
        except OSError as error:
            if self._used or not _is_sandbox_fault(error.errno, sizes):
                raise
            sandbox.close()
            reason = os.strerror(error.errno or 0)
            raise SandboxError(
                f"a fresh sandbox does not take a file: {reason}"
            ) from error
        self._sizes = sizes

    def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        return self._current().read(path)

    def reset(self) -> None:
        """See `Sandbox.reset`."""
        self._current().reset()
        self._used = False
        self._sizes.clear()

    def close(self) -> None:
        """Returns the sandbox to the pool. Safe to call twice."""
        if not self._over:
            self._over = True
            self._give_back(self._sandbox)

    def _current(self) -> StreamSandbox:
        if self._over:
            raise SandboxError("this lease is over")
        return self._sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _sizes(files: Mapping[str, bytes]) -> dict[str, int]:
    """Bytes of each file, by its normalized path."""
    return {"/".join(components(path)): len(content) for path, content in files.items()}


def _is_sandbox_fault(number: int | None, sizes: Mapping[str, int]) -> bool:
    """Whether a failed write is the sandbox's fault.

    `number` is the error's, `sizes` are bytes of all files that were written since its start.
    """
    if number not in _NO_ROOM:
        return number in _SANDBOX_FAULTS

    # A full file system is the writer's own fault once the files exceed what an empty one holds.
    limits = compose_limits()
    work = next(iter(limits.folders_mib))
    pages = sum(-(-size // _PAGE) for size in sizes.values())
    has_room = pages * _PAGE <= limits.folders_mib[work] << 20
    has_inodes = len(sizes) + len(_folders(sizes)) < limits.folders_inodes[work]
    return has_room and has_inodes


def _folders(paths: Mapping[str, int]) -> set[str]:
    """Every folder that the paths go through."""
    folders = set()
    for path in paths:
        parents = path.split("/")[:-1]
        folders |= {"/".join(parents[: depth + 1]) for depth in range(len(parents))}
    return folders
