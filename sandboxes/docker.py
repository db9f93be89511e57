"""Boxes in containers: those of `docker compose up sandbox` first, else containers of our own.

Nothing listens on a port. For a lease, a relay is executed in the container; it hands its standard
streams, which are this client's connection to the engine, to the runner. The runner serves one
lease at a time and tells others that it is taken. When the connection ends, however it ends, it
kills and wipes; in a container of our own it then ends, and the container with it.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import docker as sdk
from docker.errors import DockerException
from docker.models.containers import Container

from sandboxes.base import Isolation, SandboxError
from sandboxes.build import image_now, prepare_image
from sandboxes.containers import compose_containers, create, reap, remove, talking
from sandboxes.limits import compose_limits
from sandboxes.pool import BoxPool
from sandboxes.rootfs import INSTALLED
from sandboxes.settings import box_digest
from sandboxes.stream import SocketStream, StreamBox, TakenError

__all__ = ["available", "start_pool"]

_CALL_S = 60
_ASK_S = 5
_PART = struct.Struct(">BxxxI")
_STDOUT = 1


def available() -> str:
    """Empty where an engine answers, else why not."""
    try:
        client = sdk.from_env(timeout=_ASK_S)
    except (DockerException, OSError) as error:
        return f"no engine answers ({_short(error)})"
    with ExitStack() as stack:
        stack.callback(client.close)
        try:
            client.ping()
            kind = client.info()["OSType"]
        except (DockerException, OSError) as error:
            return f"no engine answers ({_short(error)})"
    return "" if kind == "linux" else f"the engine runs {kind} containers, not Linux ones"


def start_pool(size: int) -> BoxPool:
    """Up to `size` boxes; makes the image where that is due. Raises SandboxError."""
    with ExitStack() as stack:
        with talking("be reached"):
            client = sdk.from_env(timeout=_CALL_S)
        stack.callback(client.close)
        image = image_now(client)
        if image is None:
            print("[sandbox] making the image, once", file=sys.stderr)
            image = prepare_image(client)
        reap(client)
        warm = len(compose_containers(client))
        stack.pop_all()
    kept = f"{min(warm, size)} from compose, the others" if warm else "each"
    description = f"docker: up to {size} containers ({kept} started by need; isolation: container)"
    return BoxPool(partial(_start, client, str(image.id)), size, description, client.close)


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _start(client: sdk.DockerClient, image: str) -> StreamBox:
    """A lease on a free container of compose, or on a new one."""
    for container in compose_containers(client):
        try:
            return _lease(client, container, lambda: None)
        except TakenError:
            continue
        except SandboxError as error:
            print(
                f"[sandbox] not using {container.name}: {error}; "
                "`docker compose up --build sandbox` makes it anew",
                file=sys.stderr,
            )
    container = create(client, image)
    return _lease(client, container, partial(remove, container))


def _lease(client: sdk.DockerClient, container: Container, end: Callable[[], None]) -> StreamBox:
    try:
        with talking("reach a sandbox"):
            made = client.api.exec_create(container.id, _relay(), stdin=True, user="0:0")
            found = client.api.exec_start(made["Id"], socket=True)
    except SandboxError:
        end()
        raise
    return StreamBox(EngineStream(found), Isolation.CONTAINER, box_digest(), end)


def _relay() -> list[str]:
    path = compose_limits().listen
    return ["python3", "-IS", f"/{INSTALLED}/sandboxes/relay.py", path]


class EngineStream(SocketStream):
    """The engine's connection to an executed command: what it prints comes in labelled parts."""

    def __init__(self, found: Any) -> None:
        raw = getattr(found, "_sock", found)
        super().__init__(raw)
        self._found, self._left = found, 0

    def some(self, count: int, until: float) -> bytes:
        """See `SocketStream.some`; what the relay complains of ends the stream."""
        while not self._left:
            head = b""
            while len(head) < _PART.size:
                head += super().some(_PART.size - len(head), until)
            kind, self._left = _PART.unpack(head)
            if kind != _STDOUT:
                said = super().some(self._left, until).decode(errors="replace")
                raise EOFError(said.strip().rpartition("\n")[2])
        got = super().some(min(count, self._left), until)
        self._left -= len(got)
        return got

    def close(self) -> None:
        """See `SocketStream.close`. Each of three layers holds the connection and would keep it."""
        if not self._found.closed:
            with suppress(OSError):
                self._found._response.close()
            self._found.close()
        super().close()
