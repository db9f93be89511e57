"""The runner's end of a lease: the stream, and the door where the next one arrives.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from typing import Any

from sandboxes.frames import LENGTHS, SpoiltFrame, lengths, pack, parse

__all__ = ["Door", "Hangup", "Lease"]

_STALLED_S = 60.0


class Hangup(Exception):
    """The other end of the lease is gone or talks nonsense."""


class Lease:
    """The stream to one client: frames in, frames out. Raises Hangup where it ends."""

    def __init__(self, source: int, sink: int, door: Door | None) -> None:
        self._source, self._sink, self._door = source, sink, door
        os.set_blocking(source, False)
        os.set_blocking(sink, False)

    @property
    def source(self) -> int:
        """The descriptor whose hang-up ends the lease."""
        return self._source

    def receive(self, buffer: memoryview) -> tuple[dict[str, Any], memoryview]:
        """The next request's header, and its payload at the buffer's start."""
        prefix = bytearray(LENGTHS.size)
        self._fill(memoryview(prefix), None)
        try:
            header_size, payload_size = lengths(bytes(prefix))
            header = bytearray(header_size)
            self._fill(memoryview(header), _STALLED_S)
            parsed = parse(bytes(header))
        except SpoiltFrame as error:
            raise Hangup(str(error)) from None
        self._fill(buffer[:payload_size], _STALLED_S)
        return parsed, buffer[:payload_size]

    def send(self, header: dict[str, Any], *payload: memoryview) -> None:
        """Sends one frame."""
        waiting = [memoryview(pack(header, sum(map(len, payload)))), *payload]
        while waiting := [part for part in waiting if part]:
            self._wait(self._sink, select.POLLOUT, _STALLED_S)
            try:
                sent = os.writev(self._sink, waiting)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Hangup(str(error)) from None
            for place, part in enumerate(waiting):
                waiting[place], sent = part[sent:], max(0, sent - len(part))

    def _fill(self, view: memoryview, timeout_s: float | None) -> None:
        while view:
            self._wait(self._source, select.POLLIN, timeout_s)
            try:
                got = os.readv(self._source, [view])
            except BlockingIOError:
                continue
            except OSError as error:
                raise Hangup(str(error)) from None
            if not got:
                raise Hangup("closed")
            view = view[got:]

    def poll(self, poll: select.poll, wait_ms: float | None) -> dict[int, int]:
        """What is ready of `poll`; those who knock meanwhile are turned away.

        Raises Hangup where the lease has ended.
        """
        if self._door:
            poll.register(self._door.fd, select.POLLIN)
        ready = dict(poll.poll(wait_ms))
        if self._door and ready.pop(self._door.fd, 0):
            self._door.turn_away()
        if ready.get(self._source, 0) & (select.POLLHUP | select.POLLERR):
            raise Hangup("closed")
        return ready

    def _wait(self, fd: int, event: int, timeout_s: float | None) -> None:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if until is None else 1000 * (until - time.monotonic())
            if left is not None and left <= 0:
                raise Hangup("stalled")
            poll = select.poll()
            poll.register(self._source, 0)
            poll.register(fd, event)
            if fd in self.poll(poll, left):
                return

    def close(self) -> None:
        """Lets go of both descriptors."""
        for fd in {self._source, self._sink}:
            with contextlib.suppress(OSError):
                os.close(fd)


class Door:
    """Where leases arrive: each is a connection that hands over two descriptors."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen(16)
        self._guest: socket.socket | None = None

    @property
    def fd(self) -> int:
        """Readable while somebody waits."""
        return self._socket.fileno()

    def admit(self, timeout_s: float | None) -> Lease:
        """The next lease. Raises TimeoutError."""
        self.let_go()
        while True:
            self._socket.settimeout(timeout_s)
            guest, fds = self._accept()
            if len(fds) == 2:
                self._guest = guest
                return Lease(fds[0], fds[1], self)
            guest.close()

    def turn_away(self) -> None:
        """Tells one that waits that the box is taken."""
        guest, fds = self._accept()
        with contextlib.suppress(OSError, IndexError):
            os.set_blocking(fds[1], False)
            os.write(fds[1], pack({"busy": True}))
        for fd in fds:
            os.close(fd)
        guest.close()

    def let_go(self) -> None:
        """Ends the connection of the current lease."""
        if self._guest:
            self._guest.close()
            self._guest = None

    def _accept(self) -> tuple[socket.socket, list[int]]:
        guest, _ = self._socket.accept()
        guest.settimeout(1.0)
        try:
            _, fds, _, _ = socket.recv_fds(guest, 1, 2)
        except OSError:
            fds = []
        return guest, fds
