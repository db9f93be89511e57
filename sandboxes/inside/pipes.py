"""A command's three standard streams, seen from the runner. Standard library only."""

from __future__ import annotations

import contextlib
import os
import select
import time

from sandboxes.inside.frames import OUTPUT_CAP
from sandboxes.inside.leases import Lease

__all__ = ["OUTPUT_ROOM", "Pipes"]

OUTPUT_ROOM = 2 * (OUTPUT_CAP + 4096)


class Pipes:
    """Feeds a command its input and keeps what it prints, until it ends or has to.

    Input goes through a pipe, not a file, so that what the command has read cannot be read again
    from its descriptor.

    | attribute | meaning |
    |---|---|
    | late | the deadline came |
    | truncated | the command printed more than is kept |
    """

    def __init__(self, stdin: memoryview, buffer: memoryview) -> None:
        self.late = self.truncated = False
        (in_end, self._feed), (out, out_end), (err, err_end) = (
            os.pipe2(os.O_CLOEXEC) for _ in range(3)
        )
        self.inner = (in_end, out_end, err_end)
        for fd in (self._feed, out, err):
            os.set_blocking(fd, False)
        half = len(buffer) // 2
        self._stdin = stdin
        self._views = {out: buffer[:half], err: buffer[half:]}
        self._filled = {out: 0, err: 0}

    @property
    def kept(self) -> tuple[memoryview, ...]:
        """Standard output and error, each up to the cap."""
        return tuple(
            self._views[fd][: min(filled, OUTPUT_CAP)]
            for fd, filled in self._filled.items()
        )

    def close_inner(self) -> None:
        """Lets go of the command's ends."""
        for fd in self.inner:
            os.close(fd)
        self.inner = ()

    def close(self) -> None:
        """Closes what is open."""
        self.close_inner()
        self._close_feed()
        for fd in self._views:
            os.close(fd)

    def watch(self, child: int, until: float, lease: Lease) -> None:
        """Serves the streams until the command ends, is late, or has printed too much.

        Raises Disconnected where the lease ends meanwhile.
        """
        with contextlib.ExitStack() as stack:
            ended = os.pidfd_open(child)
            stack.callback(os.close, ended)
            open_fds = {ended, *self._views}
            while not self.truncated:
                ready = self._ready(open_fds, until, lease)
                if self.late:
                    return
                for fd in self._views:
                    if fd in ready and not self._take(fd):
                        open_fds.discard(fd)
                if ended in ready:
                    return

    def drain(self) -> None:
        """Takes what is left once every process is dead."""
        for fd in self._views:
            while not self.truncated and self._take(fd):
                pass

    def _ready(self, fds: set[int], until: float, lease: Lease) -> dict[int, int]:
        poll = select.poll()
        poll.register(lease.source, 0)
        for fd in fds:
            poll.register(fd, select.POLLIN)
        self._write_some()
        if self._feed >= 0:
            poll.register(self._feed, select.POLLOUT)
        left = until - time.monotonic()
        self.late = left <= 0
        if self.late:
            return {}
        return lease.poll(poll, 1000 * left)

    def _write_some(self) -> None:
        while self._feed >= 0:
            try:
                self._stdin = self._stdin[os.write(self._feed, self._stdin) :]
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._stdin = self._stdin[:0]
            if not self._stdin:
                self._close_feed()

    def _close_feed(self) -> None:
        if self._feed >= 0:
            os.close(self._feed)
            self._feed = -1

    def _take(self, fd: int) -> bool:
        """Reads once; False at the end or where nothing waits."""
        try:
            got = os.readv(fd, [self._views[fd][self._filled[fd] :]])
        except BlockingIOError:
            return False
        self._filled[fd] += got
        self.truncated = self.truncated or self._filled[fd] > OUTPUT_CAP
        return bool(got)
