"""Sandboxes in containers: those of `docker compose up sandbox` first, else containers of our own.

Nothing listens on a port. For a lease, a relay is executed in the container; it hands its standard
streams, which are this client's connection to the engine, to the runner. The runner serves one
lease at a time and tells others that it is taken. When the connection ends, however it ends, it
kills and wipes; in a container of our own it then ends, and the container with it.
"""

from __future__ import annotations

import secrets
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from typing import Any

import docker as sdk
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container

from sandboxes.backends.containers import (
    compose_containers,
    create,
    reap,
    remove,
    sweep,
    talking,
)
from sandboxes.backends.engines import Engines
from sandboxes.backends.identities import with_own_id
from sandboxes.backends.rootfs import INSTALLED
from sandboxes.base import Isolation, SandboxError
from sandboxes.client.pool import StreamPool
from sandboxes.client.stream import BusyError, SocketStream, StreamSandbox
from sandboxes.image.build import image_now, prepare_image
from sandboxes.inside.settings import inside_digest
from sandboxes.limits import compose_limits

__all__ = ["available", "start_pool"]

_CALL_S = 60
_ASK_S = 5
_PART = struct.Struct(">BxxxI")
_STDOUT = 1


def available(hosts: Sequence[str] = ()) -> str:
    """Empty where every engine asked for answers, else why not."""
    for host in hosts or ("",):
        if reason := _fault(host):
            return f"{host}: {reason}" if host else reason
    return ""


def start_pool(size: int, hosts: Sequence[str] = ()) -> StreamPool:
    """Up to `size` sandboxes on the engines at `hosts`; none named is the one of the environment.

    Makes the image on each where that is due. Raises SandboxError.
    """
    with ExitStack() as stack:
        found = []
        for host in hosts or ("",):
            found.append(DockerEngine(host))
            stack.callback(found[-1].close)
        engines = Engines(found)
        warm = sum(engine.warm() for engine in found)
        stack.pop_all()
    kept = f"{min(warm, size)} from compose, the others" if warm else "each"
    over = f" on {len(hosts)} engines" if len(hosts) > 1 else ""
    description = f"docker: up to {size} containers{over} ({kept} started by need; isolation: container)"
    return StreamPool(engines.start, size, description, engines.close)


def _client(host: str, timeout_s: int) -> sdk.DockerClient:
    """A client of the engine at a URL, or of the environment's where it is empty."""
    if host:
        return sdk.DockerClient(base_url=host, timeout=timeout_s)
    return sdk.from_env(timeout=timeout_s)


def _fault(host: str) -> str:
    """Empty where the engine answers and runs Linux containers, else why not."""
    try:
        with closing(_client(host, _ASK_S)) as client:
            client.ping()
            kind = client.info()["OSType"]
    except (DockerException, OSError) as error:
        return f"no engine answers ({_short(error)})"
    return (
        "" if kind == "linux" else f"the engine runs {kind} containers, not Linux ones"
    )


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


class DockerEngine:
    """One Docker engine with the sandbox image on it. Raises SandboxError where it has none."""

    def __init__(self, host: str) -> None:
        self._host, self._pool = host, secrets.token_hex(8)
        with ExitStack() as stack:
            with talking("be reached"):
                self._client = _client(host, _CALL_S)
            stack.callback(self._client.close)
            self._image = self._prepared()
            reap(self._client)
            stack.pop_all()

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return self._host or "of the environment"

    def warm(self) -> int:
        """How many containers compose keeps here."""
        return len(compose_containers(self._client))

    def fault(self) -> str:
        """See `Engine.fault`."""
        return _fault(self._host)

    def close(self) -> None:
        """See `Engine.close`; what an engine that is gone keeps is for a later pool to reap."""
        with (
            suppress(SandboxError),
            talking("be reached"),
            closing(_client(self._host, _ASK_S)) as client,
        ):
            sweep(client, self._pool)
        self._client.close()

    def start(self) -> StreamSandbox:
        """A lease on a free container of compose, or on a new one."""
        for container in compose_containers(self._client):
            try:
                return _lease(self._client, container, lambda: None)
            except BusyError:
                continue
            except SandboxError as error:
                print(
                    f"[sandbox] not using {container.name}: {error}; "
                    "`docker compose up --detach sandbox` makes it anew",
                    file=sys.stderr,
                )
        return with_own_id(self._own)

    def _own(self, uid: int) -> StreamSandbox:
        container = self._created(uid)
        return _lease(self._client, container, partial(remove, container))

    def _created(self, uid: int) -> Container:
        try:
            return create(self._client, self._image, self._pool, uid)
        except SandboxError as error:
            if not isinstance(error.__cause__, ImageNotFound):
                raise
        # Somebody has removed the image that this pool began with.
        self._image = self._prepared()
        return create(self._client, self._image, self._pool, uid)

    def _prepared(self) -> str:
        with talking("look for the image"):
            missing = image_now(self._client) is None
        if missing:
            where = f" on {self._host}" if self._host else ""
            print(f"[sandbox] making the image{where}, once", file=sys.stderr)
        return str(prepare_image(self._client).id)


def _lease(
    client: sdk.DockerClient, container: Container, end: Callable[[], None]
) -> StreamSandbox:
    try:
        with talking("reach a sandbox"):
            made = client.api.exec_create(
                container.id, _relay(), stdin=True, user="0:0"
            )
            found = client.api.exec_start(made["Id"], socket=True)
    except SandboxError:
        end()
        raise
    return StreamSandbox(EngineStream(found), Isolation.CONTAINER, inside_digest(), end)


def _relay() -> list[str]:
    path = compose_limits().listen
    return ["python3", "-IS", f"/{INSTALLED}/sandboxes/inside/relay.py", path]


class EngineStream(SocketStream):
    """The engine's connection to an executed command: what it prints comes in labelled parts."""

    def __init__(self, found: Any) -> None:
        raw = getattr(found, "_sock", found)
        super().__init__(raw)
        self._found, self._left = found, 0
        # The SDK hands out the socket below the reader that has read the head of the engine's
        # answer, and whatever came with the head stays in there.
        raw.settimeout(0)
        self._early = found._response.raw._fp.fp.peek()

    def some(self, count: int, until: float) -> bytes:
        """See `SocketStream.some`; what the relay complains of ends the stream."""
        while not self._left:
            head = b""
            while len(head) < _PART.size:
                head += self._raw(_PART.size - len(head), until)
            kind, self._left = _PART.unpack(head)
            if kind != _STDOUT:
                said = self._raw(self._left, until).decode(errors="replace")
                raise EOFError(said.strip().rpartition("\n")[2])
        got = self._raw(min(count, self._left), until)
        self._left -= len(got)
        return got

    def _raw(self, count: int, until: float) -> bytes:
        if not self._early:
            return super().some(count, until)
        got, self._early = self._early[:count], self._early[count:]
        return got

    def close(self) -> None:
        """See `SocketStream.close`. Each of three layers holds the connection and would keep it."""
        if not self._found.closed:
            with suppress(OSError):
                self._found._response.close()
            self._found.close()
        super().close()
