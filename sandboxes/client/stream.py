"""The client's end of a sandbox: frames over a socket, behind the sandbox protocol."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from sandboxes.base import ExecResult, Isolation, SandboxError
from sandboxes.inside.frames import (
    LENGTHS,
    MAX_PAYLOAD,
    SILENCE_S,
    MalformedFrame,
    lengths,
    pack,
    parse,
)
from sandboxes.inside.workspace import components

__all__ = ["BusyError", "SocketStream", "StreamSandbox"]

_ENDING_S = 15.0
"""How long a sandbox may take to kill what a command left, once it announces that it does."""

_STALLED_S = 30.0


class BusyError(SandboxError):
    """Another client has a lease on the sandbox."""


class SocketStream:
    """Bytes to and from a runner over a connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes, until: float) -> None:
        """Sends all of it. Raises OSError."""
        self._connection.settimeout(max(0.001, until - time.monotonic()))
        self._connection.sendall(data)

    def receive(self, count: int, until: float) -> bytes:
        """Exactly `count` bytes. Raises OSError, EOFError if the stream ends."""
        data = bytearray()
        while len(data) < count:
            data += self.some(count - len(data), until)
        return bytes(data)

    def some(self, count: int, until: float) -> bytes:
        """At least one byte, at most `count`. Raises OSError, EOFError if the stream ends."""
        self._connection.settimeout(max(0.001, until - time.monotonic()))
        data = self._connection.recv(count)
        if not data:
            raise EOFError("the sandbox closed the connection")
        return data

    def close(self) -> None:
        """Ends the connection. Safe to call twice."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class StreamSandbox:
    """A sandbox whose runner is at the other end of a stream. One user at a time.

    Any failure of the stream raises SandboxError, and the sandbox is unusable from then on.
    `end` is called once, to remove what carries the sandbox; it may raise SandboxError.
    """

    def __init__(
        self,
        stream: SocketStream,
        isolation: Isolation,
        digest: str,
        end: Callable[[], None],
    ) -> None:
        self._stream, self._isolation = stream, isolation
        self._callbacks = [end]
        self._closed = False
        try:
            hello, _ = self._receive(time.monotonic() + _STALLED_S)
            if hello.get("busy"):
                raise BusyError("the sandbox is busy")
            if hello.get("hello") != digest:
                raise SandboxError("the sandbox runs other code than this client")
        except BaseException:
            self.close()
            raise

    @property
    def isolation(self) -> Isolation:
        """What stands between the code and this machine."""
        return self._isolation

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        cwd: str = ".",
    ) -> ExecResult:
        """See `Sandbox.run`."""
        if not argv or not timeout_s > 0:
            raise ValueError(
                f"got argv {argv!r} and timeout_s {timeout_s}, "
                "expected a command and more than 0 seconds"
            )
        if cwd != ".":
            components(cwd)

        job = json.dumps({"argv": list(argv), "cwd": cwd}).encode()
        request = {"op": "run", "job": len(job), "timeout_s": timeout_s}
        header, output = self._ask(request, job + stdin, timeout_s + SILENCE_S)
        try:
            return _exec_result(header, output)
        except (KeyError, TypeError, ValueError) as error:
            raise self._failure(f"answered with nonsense: {error}") from error

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `Sandbox.write`."""
        # Every path is checked before anything is sent, so that a bad one changes nothing.
        for path in files:
            components(path)

        batch: dict[str, bytes] = {}
        for path, content in files.items():
            batch_size = sum(map(len, batch.values()))
            if len(content) + batch_size > MAX_PAYLOAD:
                self._write(batch)
                batch = {}
            batch[path] = bytes(content)
        self._write(batch)

    def _write(self, files: Mapping[str, bytes]) -> None:
        names_and_sizes = [[path, len(content)] for path, content in files.items()]
        request = {"op": "write", "files": names_and_sizes}
        header, _ = self._ask(request, b"".join(files.values()))
        if "failed" in header:
            number = int(header["failed"])
            raise OSError(number, os.strerror(number), "in the sandbox")

    def read(self, path: str) -> bytes:
        """See `Sandbox.read`. Raises ValueError as `write` does."""
        components(path)
        header, content = self._ask({"op": "read", "path": path})
        if "missing" in header:
            raise FileNotFoundError(f"{path}: {header['missing']}")
        return content

    def reset(self) -> None:
        """See `Sandbox.reset`."""
        self._ask({"op": "reset"})

    def ping(self) -> None:
        """Returns if the sandbox is alive. Raises SandboxError."""
        self._ask({"op": "ping"}, wait_s=SILENCE_S)

    def close(self) -> None:
        """See `Sandbox.close`."""
        if not self._closed:
            self._closed = True
            self._stream.close()
            # A stack runs the rest also after one of them raised.
            with contextlib.ExitStack() as stack:
                for callback in reversed(self._callbacks):
                    stack.callback(callback)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Calls a function once the sandbox has ended."""
        self._callbacks.append(callback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ask(
        self, header: dict[str, Any], payload: bytes = b"", wait_s: float = _STALLED_S
    ) -> tuple[dict[str, Any], bytes]:
        """Sends a request and returns the answer's header and payload. Raises SandboxError."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        frame = pack(header, len(payload))
        until = time.monotonic() + wait_s
        try:
            self._stream.send(frame + payload, until)
            answer = self._receive(until)
            if answer[0].get("ending"):
                answer = self._receive(time.monotonic() + _ENDING_S)
            return answer
        except OSError as error:
            raise self._failure(str(error)) from error
        except BaseException:
            # Half a frame may be under way, so nothing that comes later could be trusted.
            self.close()
            raise

    def _receive(self, until: float) -> tuple[dict[str, Any], bytes]:
        try:
            prefix = self._stream.receive(LENGTHS.size, until)
            header_size, payload_size = lengths(prefix)
            header = parse(self._stream.receive(header_size, until))
            payload = self._stream.receive(payload_size, until)
            return header, payload
        except (OSError, EOFError, MalformedFrame) as error:
            raise self._failure(str(error) or type(error).__name__) from error

    def _failure(self, reason: str) -> SandboxError:
        """The error to raise for a sandbox that cannot be used again; closes it."""
        self.close()
        return SandboxError(f"the sandbox is lost: {reason}")


def _exec_result(header: Mapping[str, Any], output: bytes) -> ExecResult:
    """The result of a command. Raises KeyError, TypeError or ValueError for a bad header."""
    stdout_size = int(header["stdout"])
    timed_out = bool(header["late"])
    return ExecResult(
        exit_code=None if timed_out else int(header["status"]),
        stdout=output[:stdout_size],
        stderr=output[stdout_size:],
        timed_out=timed_out,
        truncated=bool(header["truncated"]),
        wall_s=float(header["wall_s"]),
    )
