"""Standard streams as a command finds them. Standard library only."""

from __future__ import annotations

import io
import os
import sys

__all__ = ["renew_streams"]

_NAMES = ("stdin", "stdout", "stderr")


def renew_streams() -> None:
    """Makes the standard streams anew, as the interpreter does when they are pipes.

    Those of the start know what the runner's own descriptors are: `/dev/null` can be positioned,
    for one. The descriptors themselves stay what they are.
    """
    ends = os.pipe()
    for fd, name in enumerate(_NAMES):
        saved = os.dup(fd)
        os.dup2(ends[min(fd, 1)], fd)
        stream = _stream(fd, getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
        os.dup2(saved, fd)
        os.close(saved)
    for end in ends:
        os.close(end)


def _stream(fd: int, old: io.TextIOWrapper) -> io.TextIOWrapper:
    mode = "w" if fd else "r"
    buffer = open(fd, f"{mode}b", closefd=False)  # noqa: SIM115 - stays open
    buffer.raw.name = f"<{_NAMES[fd]}>"  # type: ignore[attr-defined]
    stream = io.TextIOWrapper(
        buffer,
        old.encoding,
        old.errors,
        newline="\n",
        line_buffering=old.line_buffering,
    )
    stream.mode = mode  # type: ignore[attr-defined]
    return stream
