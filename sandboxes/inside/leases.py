"""The runner's end of a lease: the stream, and the door where the next one arrives.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxes.inside.frames import LENGTHS, MalformedFrame, lengths, pack, parse

__all__ = ["Listener", "Disconnected", "Lease"]

_STALLED_S = 60.0
_MAX_PENDING = 8
"""Who knocked first and still says nothing is dropped when more come."""


class Disconnected(Exception):
    """The other end of the lease is gone or talks nonsense."""


class Lease:
    """The stream to one client: frames in, frames out. Raises Disconnected where it ends."""

    def __init__(self, source: int, sink: int, door: Listener | None) -> None:
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
        except MalformedFrame as error:
            raise Disconnected(str(error)) from None
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
                raise Disconnected(str(error)) from None
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
                raise Disconnected(str(error)) from None
            if not got:
                raise Disconnected("closed")
            view = view[got:]

    def poll(self, poll: select.poll, wait_ms: float | None) -> dict[int, int]:
        """What is ready of `poll`; those who knock meanwhile are turned away.

        Raises Disconnected where the lease has ended.
        """
        if self._door:
            self._door.watch(poll)
        ready = dict(poll.poll(wait_ms))
        if self._door:
            self._door.turn_away(ready)
        if ready.get(self._source, 0) & (select.POLLHUP | select.POLLERR):
            raise Disconnected("closed")
        return ready

    def _wait(self, fd: int, event: int, timeout_s: float | None) -> None:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if until is None else 1000 * (until - time.monotonic())
            if left is not None and left <= 0:
                raise Disconnected("stalled")
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


class Listener:
    """Where leases arrive: each is a connection that hands over two descriptors.

    One that knocks and hands over nothing holds nobody up.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen(16)
        self._socket.setblocking(False)
        self._pending: list[socket.socket] = []
        self._guest: socket.socket | None = None

    def watch(self, poll: select.poll) -> None:
        """Has a poll look at the door and at those before it."""
        for one in (self._socket, *self._pending):
            poll.register(one, select.POLLIN)

    def admit(self, timeout_s: float | None) -> Lease:
        """The next lease. Raises TimeoutError."""
        self.let_go()
        until = None if timeout_s is None else time.monotonic() + timeout_s
        lease: Lease | None = None
        while lease is None:
            poll = select.poll()
            self.watch(poll)
            left = None if until is None else 1000 * (until - time.monotonic())
            if left is not None and left <= 0:
                raise TimeoutError("nobody came")
            for guest, fds in self._arrivals(dict(poll.poll(left))):
                if self._guest:
                    _refuse(guest, fds)
                else:
                    self._guest, lease = guest, Lease(fds[0], fds[1], self)
        return lease

    def turn_away(self, ready: Mapping[int, int]) -> None:
        """Tells those among the ready who ask for a lease that the sandbox is taken."""
        for guest, fds in self._arrivals(ready):
            _refuse(guest, fds)

    def let_go(self) -> None:
        """Ends the connection of the current lease."""
        if self._guest:
            self._guest.close()
            self._guest = None

    def inodes(self) -> set[int]:
        """Inodes of the sockets that it holds."""
        guest = [self._guest] if self._guest else []
        return {
            os.fstat(one.fileno()).st_ino
            for one in (self._socket, *self._pending, *guest)
        }

    def close(self) -> None:
        """Shuts the door on everybody."""
        self.let_go()
        for one in (self._socket, *self._pending):
            one.close()

    def _arrivals(
        self, ready: Mapping[int, int]
    ) -> list[tuple[socket.socket, list[int]]]:
        """Those who have handed over two descriptors, and these."""
        found = []
        for guest in [one for one in self._pending if one.fileno() in ready]:
            self._pending.remove(guest)
            if len(fds := _handed_over(guest)) == 2:
                found.append((guest, fds))
            else:
                _close(guest, fds)
        if self._socket.fileno() in ready:
            with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
                self._pending.append(self._socket.accept()[0])
                self._pending[-1].setblocking(False)
            while len(self._pending) > _MAX_PENDING:
                self._pending.pop(0).close()
        return found


def _handed_over(guest: socket.socket) -> list[int]:
    try:
        return socket.recv_fds(guest, 1, 2)[1]
    except OSError:
        return []


def _refuse(guest: socket.socket, fds: Sequence[int]) -> None:
    with contextlib.suppress(OSError):
        os.set_blocking(fds[1], False)
        os.write(fds[1], pack({"busy": True}))
    _close(guest, fds)


def _close(guest: socket.socket, fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
    guest.close()
