"""The client's end of a sandbox: frames over a socket, behind the sandbox protocol."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
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

__all__ = ["SocketStream", "StreamSandbox", "BusyError"]

_ENDING_S = 15.0
"""How long a sandbox may take to kill what a command has left, once it has said that it does."""

_STALLED_S = 30.0


class BusyError(SandboxError):
    """Somebody else has a lease on the sandbox."""


class SocketStream:
    """Bytes to and from a runner over a connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes, until: float) -> None:
        """Sends all of it. Raises OSError."""
        self._connection.settimeout(max(0.001, until - time.monotonic()))
        self._connection.sendall(data)

    def receive(self, count: int, until: float) -> bytes:
        """Exactly `count` bytes. Raises OSError, EOFError where the stream ends."""
        parts = bytearray()
        while len(parts) < count:
            parts += self.some(count - len(parts), until)
        return bytes(parts)

    def some(self, count: int, until: float) -> bytes:
        """At least one byte, at most `count`. Raises OSError, EOFError where the stream ends."""
        self._connection.settimeout(max(0.001, until - time.monotonic()))
        got = self._connection.recv(count)
        if not got:
            raise EOFError("the sandbox hung up")
        return got

    def close(self) -> None:
        """Hangs up. Safe to call twice."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class StreamSandbox:
    """A sandbox whose runner is at the other end of a stream. One user at a time.

    Whatever goes wrong with the stream raises SandboxError, and the sandbox is of no use any more.
    `end` is called once, to do away with what carries the sandbox; it may raise SandboxError.
    """

    def __init__(
        self,
        stream: SocketStream,
        isolation: Isolation,
        digest: str,
        end: Callable[[], None],
    ) -> None:
        self._stream, self._isolation, self._ends = stream, isolation, [end]
        self._closed = False
        try:
            hello, _ = self._receive(time.monotonic() + _STALLED_S)
            if hello.get("busy"):
                raise BusyError("the sandbox is taken")
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
                f"got argv {argv!r} and timeout_s {timeout_s}, wanted both non-empty"
            )
        if cwd != ".":
            components(cwd)
        job = json.dumps({"argv": list(argv), "cwd": cwd}).encode()
        request = {"op": "run", "job": len(job), "timeout_s": timeout_s}
        header, payload = self._ask(request, job + stdin, timeout_s + SILENCE_S)
        try:
            split = int(header["stdout"])
            status = None if header["late"] else int(header["status"])
            return ExecResult(
                exit_code=status,
                stdout=payload[:split],
                stderr=payload[split:],
                timed_out=bool(header["late"]),
                truncated=bool(header["truncated"]),
                wall_s=float(header["wall_s"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(f"answered with nonsense: {error}") from error

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `Sandbox.write`."""
        for path in files:
            components(path)
        batch: dict[str, bytes] = {}
        for path, content in files.items():
            if len(content) + sum(map(len, batch.values())) > MAX_PAYLOAD:
                self._write(batch)
                batch = {}
            batch[path] = bytes(content)
        self._write(batch)

    def _write(self, files: Mapping[str, bytes]) -> None:
        listed = [[path, len(content)] for path, content in files.items()]
        header, _ = self._ask(
            {"op": "write", "files": listed}, b"".join(files.values())
        )
        if "failed" in header:
            raise OSError(
                int(header["failed"]),
                os.strerror(int(header["failed"])),
                "in the sandbox",
            )

    def read(self, path: str) -> bytes:
        """See `Sandbox.read`. Raises ValueError as `write` does."""
        components(path)
        header, payload = self._ask({"op": "read", "path": path})
        if "missing" in header:
            raise FileNotFoundError(f"{path}: {header['missing']}")
        return payload

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
            with contextlib.ExitStack() as stack:
                for end in reversed(self._ends):
                    stack.callback(end)

    def at_end(self, deed: Callable[[], None]) -> None:
        """Something more to do once the sandbox has ended."""
        self._ends.append(deed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self, header: dict[str, Any], payload: bytes = b"", wait_s: float = _STALLED_S
    ) -> tuple[dict[str, Any], bytes]:
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
            raise self._broken(str(error)) from error
        except BaseException:
            # Half a frame may be under way, so nothing that comes later could be trusted.
            self.close()
            raise

    def _receive(self, until: float) -> tuple[dict[str, Any], bytes]:
        try:
            header_size, payload_size = lengths(
                self._stream.receive(LENGTHS.size, until)
            )
            header = parse(self._stream.receive(header_size, until))
            return header, self._stream.receive(payload_size, until)
        except (OSError, EOFError, MalformedFrame) as error:
            raise self._broken(str(error) or type(error).__name__) from error

    def _broken(self, reason: str) -> SandboxError:
        self.close()
        return SandboxError(f"the sandbox is lost: {reason}")
