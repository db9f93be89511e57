"""What a command prints and how it ends, watched from the runner. Standard library only."""

from __future__ import annotations

import os
import select
import time

from sandboxes.frames import OUTPUT_CAP
from sandboxes.leases import Hangup, Lease

__all__ = ["Outcome"]


class Outcome:
    """What a command printed and how it ended."""

    def __init__(self, child: int, pipes: tuple[int, int], buffer: memoryview) -> None:
        self.late = self.truncated = False
        self._child, self._half = child, len(buffer) // 2
        self._views = {pipes[0]: buffer[: self._half], pipes[1]: buffer[self._half :]}
        self._filled = dict.fromkeys(pipes, 0)

    @property
    def kept(self) -> tuple[memoryview, ...]:
        """Standard output and error, each up to the cap."""
        return tuple(
            self._views[fd][: min(filled, OUTPUT_CAP)] for fd, filled in self._filled.items()
        )

    def watch(self, until: float, lease: Lease) -> None:
        """Collects output until the command ends, is late, or has printed too much."""
        exit_fd = os.pidfd_open(self._child)
        poll = select.poll()
        for fd in (exit_fd, *self._views):
            poll.register(fd, select.POLLIN)
        poll.register(lease.source, 0)
        try:
            while not self.truncated:
                left = until - time.monotonic()
                self.late = left <= 0
                if self.late:
                    return
                ready = dict(poll.poll(1000 * left))
                if lease.source in ready:
                    raise Hangup("closed while a command ran")
                for fd in self._views:
                    if fd in ready and not self._take(fd):
                        poll.unregister(fd)
                if exit_fd in ready:
                    return
        finally:
            os.close(exit_fd)

    def drain(self) -> None:
        """Takes what is left in the pipes once every process is dead."""
        for fd in self._views:
            while not self.truncated and self._take(fd):
                pass

    def _take(self, fd: int) -> bool:
        """Reads once; False at the end or where nothing waits."""
        try:
            got = os.readv(fd, [self._views[fd][self._filled[fd] :]])
        except BlockingIOError:
            return False
        self._filled[fd] += got
        self.truncated = self.truncated or self._filled[fd] > OUTPUT_CAP
        return bool(got)
