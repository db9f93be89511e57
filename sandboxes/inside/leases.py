"""The runner's end of a lease: its stream, and the listener where leases arrive.

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

__all__ = ["Disconnected", "Lease", "Listener"]

_STALLED_S = 60.0
_MAX_PENDING = 8
"""Connections that may wait without a word; when more come, the oldest is dropped."""


class Disconnected(Exception):
    """The other end of the lease is gone or sent nonsense."""


class Lease:
    """The stream to one client: frames in, frames out. Raises Disconnected when it ends.

    `source` and `sink` are the descriptors to read and to write; `listener` is polled meanwhile,
    so that other clients hear at once that the sandbox is busy.
    """

    def __init__(self, source: int, sink: int, listener: Listener | None) -> None:
        self._source, self._sink, self._listener = source, sink, listener
        os.set_blocking(source, False)
        os.set_blocking(sink, False)

    @property
    def source(self) -> int:
        """The descriptor whose hang-up ends the lease."""
        return self._source

    def has_request(self, wait_ms: float) -> bool:
        """Whether a request has begun to arrive, now or within that time."""
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        return self._source in self.poll(poll, wait_ms)

    def receive(self, buffer: memoryview) -> tuple[dict[str, Any], memoryview]:
        """The next request's header, and its payload, which lies in the buffer."""
        # A client may be silent between requests for as long as it likes, but not within one.
        self._wait(self._source, select.POLLIN, None)
        self._fill(buffer[: LENGTHS.size])
        try:
            header_size, payload_size = lengths(bytes(buffer[: LENGTHS.size]))
            self._fill(buffer[: header_size + payload_size])
            header = parse(bytes(buffer[:header_size]))
        except MalformedFrame as error:
            raise Disconnected(str(error)) from None
        return header, buffer[header_size : header_size + payload_size]

    def send(self, header: dict[str, Any], *payload: memoryview) -> None:
        """Sends one frame."""
        frame = pack(header, sum(map(len, payload)))
        parts = [part for part in (memoryview(frame), *payload) if part]
        while parts:
            try:
                sent = os.writev(self._sink, parts)
            except BlockingIOError:
                self._wait(self._sink, select.POLLOUT, _STALLED_S)
                continue
            except OSError as error:
                raise Disconnected(str(error)) from None
            parts = _without_prefix(parts, sent)

    def _fill(self, view: memoryview) -> None:
        while view:
            try:
                count = os.readv(self._source, [view])
            except BlockingIOError:
                self._wait(self._source, select.POLLIN, _STALLED_S)
                continue
            except OSError as error:
                raise Disconnected(str(error)) from None
            if not count:
                raise Disconnected("closed")
            view = view[count:]

    def poll(self, poll: select.poll, wait_ms: float | None) -> dict[int, int]:
        """Descriptor -> events of what is ready of `poll`; refuses clients that come meanwhile.

        Raises Disconnected if the lease has ended.
        """
        if self._listener:
            self._listener.watch(poll)
        ready = dict(poll.poll(wait_ms))
        if self._listener:
            self._listener.refuse(ready)
        if ready.get(self._source, 0) & (select.POLLHUP | select.POLLERR):
            raise Disconnected("closed")
        return ready

    def _wait(self, fd: int, event: int, timeout_s: float | None) -> None:
        """Waits for an event of a descriptor, and for the end of the lease."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_ms = _left_ms(until)
            if left_ms is not None and left_ms <= 0:
                raise Disconnected("stalled")
            poll = select.poll()
            poll.register(self._source, 0)
            poll.register(fd, event)
            if fd in self.poll(poll, left_ms):
                return

    def close(self) -> None:
        """Closes both descriptors."""
        for fd in {self._source, self._sink}:
            with contextlib.suppress(OSError):
                os.close(fd)


class Listener:
    """A Unix socket where leases arrive: each is a connection that hands over two descriptors.

    A connection that hands over nothing keeps no other waiting.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen(16)
        self._socket.setblocking(False)
        self._pending: list[socket.socket] = []
        self._client: socket.socket | None = None

    def watch(self, poll: select.poll) -> None:
        """Registers the listener and its pending connections with a poll."""
        for connection in (self._socket, *self._pending):
            poll.register(connection, select.POLLIN)

    def accept(self, timeout_s: float | None) -> Lease:
        """The next lease. Raises TimeoutError."""
        self.release()
        until = None if timeout_s is None else time.monotonic() + timeout_s
        lease: Lease | None = None
        while lease is None:
            poll = select.poll()
            self.watch(poll)
            left_ms = _left_ms(until)
            if left_ms is not None and left_ms <= 0:
                raise TimeoutError("no client came")
            # Of several that come at once the first gets the lease.
            for client, fds in self._arrivals(dict(poll.poll(left_ms))):
                if self._client:
                    _refuse(client, fds)
                else:
                    self._client, lease = client, Lease(fds[0], fds[1], self)
        return lease

    def refuse(self, ready: Mapping[int, int]) -> None:
        """Answers those among the ready who ask for a lease that the sandbox is busy."""
        for client, fds in self._arrivals(ready):
            _refuse(client, fds)

    def release(self) -> None:
        """Ends the connection of the current lease."""
        if self._client:
            self._client.close()
            self._client = None

    def inodes(self) -> set[int]:
        """Inodes of the sockets that it has open."""
        sockets = [self._socket, *self._pending]
        if self._client:
            sockets.append(self._client)
        return {os.fstat(each.fileno()).st_ino for each in sockets}

    def close(self) -> None:
        """Closes every socket."""
        self.release()
        for connection in (self._socket, *self._pending):
            connection.close()

    def _arrivals(
        self, ready: Mapping[int, int]
    ) -> list[tuple[socket.socket, list[int]]]:
        """The connections that have handed over two descriptors, and these."""
        arrivals = []
        for client in [each for each in self._pending if each.fileno() in ready]:
            self._pending.remove(client)
            fds = _receive_fds(client)
            if len(fds) == 2:
                arrivals.append((client, fds))
            else:
                _close(client, fds)
        if self._socket.fileno() in ready:
            self._accept_pending()
        return arrivals

    def _accept_pending(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            connection, _ = self._socket.accept()
            self._pending.append(connection)
            connection.setblocking(False)
        while len(self._pending) > _MAX_PENDING:
            self._pending.pop(0).close()


def _left_ms(until: float | None) -> float | None:
    """Milliseconds until a time of the monotonic clock; None for no end."""
    return None if until is None else 1000 * (until - time.monotonic())


def _without_prefix(parts: Sequence[memoryview], size: int) -> list[memoryview]:
    """The parts without their first `size` bytes, and without empty ones."""
    rest = []
    for part in parts:
        if len(part) > size:
            rest.append(part[size:])
        size = max(0, size - len(part))
    return rest


def _receive_fds(client: socket.socket) -> list[int]:
    try:
        return socket.recv_fds(client, 1, 2)[1]
    except OSError:
        return []


def _refuse(client: socket.socket, fds: Sequence[int]) -> None:
    with contextlib.suppress(OSError):
        os.set_blocking(fds[1], False)
        os.write(fds[1], pack({"busy": True}))
    _close(client, fds)


def _close(client: socket.socket, fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
    client.close()
