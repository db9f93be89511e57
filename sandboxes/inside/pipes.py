"""A command's three standard streams, seen from the runner. Standard library only."""

from __future__ import annotations

import os
import select
import time

from sandboxes.inside.frames import OUTPUT_CAP
from sandboxes.inside.leases import Lease

__all__ = ["OUTPUT_ROOM", "Pipes"]

OUTPUT_ROOM = 2 * (OUTPUT_CAP + 4096)


class Pipes:
    """Feeds a command its input and stores what it prints, until it ends or has to.

    Input goes through a pipe, not a file, so that what the command has read cannot be read again
    from its descriptor. `buffer` is where output is stored, one half for each stream.

    | attribute | meaning |
    |---|---|
    | inner | the command's ends: standard input, output, error; empty once closed |
    | late | the deadline came |
    | truncated | the command printed more than is stored |
    """

    def __init__(self, buffer: memoryview) -> None:
        self.late = self.truncated = False
        in_end, self._feed = os.pipe2(os.O_CLOEXEC)
        out, out_end = os.pipe2(os.O_CLOEXEC)
        err, err_end = os.pipe2(os.O_CLOEXEC)
        self.inner = (in_end, out_end, err_end)
        for fd in (self._feed, out, err):
            os.set_blocking(fd, False)

        half = len(buffer) // 2
        self._stdin = memoryview(b"")
        self._views = {out: buffer[:half], err: buffer[half:]}
        self._sizes = {out: 0, err: 0}

    @property
    def output(self) -> tuple[memoryview, ...]:
        """Standard output and error, each up to the cap."""
        return tuple(
            self._views[fd][: min(size, OUTPUT_CAP)] for fd, size in self._sizes.items()
        )

    def close_inner(self) -> None:
        """Closes the command's ends."""
        for fd in self.inner:
            os.close(fd)
        self.inner = ()

    def close(self) -> None:
        """Closes what is open."""
        self.close_inner()
        self._close_feed()
        for fd in self._views:
            os.close(fd)

    def watch(self, stdin: memoryview, end: int, until: float, lease: Lease) -> None:
        """Serves the streams until the command ends, is late, or has printed too much.

        `end` is a descriptor of the command's process. Raises Disconnected if the lease ends first.
        """
        self._stdin = stdin
        open_fds = {end, *self._views}
        while not self.truncated:
            ready = self._ready(open_fds, until, lease)
            if self.late:
                return
            for fd in self._views:
                if fd in ready and not self._read(fd):
                    open_fds.discard(fd)
            if end in ready:
                return

    def drain(self) -> None:
        """Reads what is left once every process is dead."""
        for fd in self._views:
            while not self.truncated and self._read(fd):
                pass

    def _ready(self, fds: set[int], until: float, lease: Lease) -> dict[int, int]:
        """Descriptor -> events of what is ready; sets `late` at the deadline."""
        poll = select.poll()
        poll.register(lease.source, 0)
        for fd in fds:
            poll.register(fd, select.POLLIN)
        self._write_some()
        if self._feed >= 0:
            poll.register(self._feed, select.POLLOUT)

        left_s = until - time.monotonic()
        self.late = left_s <= 0
        if self.late:
            return {}
        return lease.poll(poll, 1000 * left_s)

    def _write_some(self) -> None:
        """Writes input until the pipe is full or nothing is left."""
        while self._feed >= 0:
            try:
                count = os.write(self._feed, self._stdin) if self._stdin else 0
            except BlockingIOError:
                return
            except BrokenPipeError:
                # The command has closed its input, so the rest is of no use.
                count = len(self._stdin)
            self._stdin = self._stdin[count:]
            if not self._stdin:
                self._close_feed()

    def _close_feed(self) -> None:
        if self._feed >= 0:
            os.close(self._feed)
            self._feed = -1

    def _read(self, fd: int) -> bool:
        """Reads once; False at the end of the stream or if nothing is there."""
        try:
            count = os.readv(fd, [self._views[fd][self._sizes[fd] :]])
        except BlockingIOError:
            return False
        self._sizes[fd] += count
        self.truncated = self.truncated or self._sizes[fd] > OUTPUT_CAP
        return bool(count)
