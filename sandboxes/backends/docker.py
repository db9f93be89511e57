"""Sandboxes in containers: those of `docker compose up sandbox` first, else containers of our own.

Nothing listens on a port. For a lease, a relay is executed in the container; it hands its standard
streams, which are this client's connection to the engine, to the runner. The runner serves one
lease at a time and tells other clients that it is busy. When the connection ends, however it ends,
it kills and wipes; in a container of our own it then ends, and the container with it.
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
    docker_errors,
    reap,
    remove,
    sweep,
)
from sandboxes.backends.engines import Engines
from sandboxes.backends.identities import with_own_id
from sandboxes.backends.rootfs import INSTALLED
from sandboxes.base import Isolation, SandboxError
from sandboxes.client.pool import StreamPool
from sandboxes.client.stream import BusyError, SocketStream, StreamSandbox
from sandboxes.config import SandboxConfig, no_sandbox_error
from sandboxes.image.images import image_now, prepare_image
from sandboxes.inside.settings import inside_digest
from sandboxes.limits import compose_limits

__all__ = ["available", "open_pool"]

_CALL_S = 60
_PROBE_S = 5
_PART = struct.Struct(">BxxxI")
"""The engine's label of a part of a command's output: which stream, how many bytes."""

_STDOUT = 1


def available(hosts: Sequence[str] = ()) -> str:
    """Empty if every engine of `hosts` answers (none: the environment's), else why not."""
    for host in hosts or ("",):
        fault = _fault(host)
        if fault:
            return f"{host}: {fault}" if host else fault
    return ""


def open_pool(size: int, config: SandboxConfig) -> StreamPool:
    """Up to `size` sandboxes on the engines at `config.hosts`; none: the environment's.

    Builds the image on each that lacks it. Raises SandboxError.
    """
    hosts = config.hosts
    reason = available(hosts)
    if reason:
        raise no_sandbox_error(f"docker: {reason}")

    with ExitStack() as stack:
        docker_engines = []
        for host in hosts or ("",):
            engine = DockerEngine(host)
            stack.callback(engine.close)
            docker_engines.append(engine)
        warm = sum(engine.count_warm() for engine in docker_engines)
        # From here on the pool closes the engines.
        stack.pop_all()

    engines = Engines(docker_engines)
    description = _describe(size, warm, len(hosts))
    return StreamPool(engines.start, size, description, engines.close)


def _describe(size: int, warm: int, hosts: int) -> str:
    which = f"{min(warm, size)} from compose, the others" if warm else "each"
    over = f" on {hosts} engines" if hosts > 1 else ""
    return (
        f"docker: up to {size} containers{over} "
        f"({which} started by need; isolation: container)"
    )


def _client(host: str, timeout_s: int) -> sdk.DockerClient:
    """A client of the engine at a URL, or of the environment's if it is empty."""
    if host:
        return sdk.DockerClient(base_url=host, timeout=timeout_s)
    return sdk.from_env(timeout=timeout_s)


def _fault(host: str) -> str:
    """Empty if the engine answers and runs Linux containers, else why not."""
    try:
        with closing(_client(host, _PROBE_S)) as client:
            client.ping()
            kind = client.info()["OSType"]
    except (DockerException, OSError) as error:
        return f"no engine answers ({_first_line(error)})"
    if kind != "linux":
        return f"the engine runs {kind} containers, not Linux ones"
    return ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


class DockerEngine:
    """One Docker engine with the sandbox image on it. Raises SandboxError if it has none."""

    def __init__(self, host: str) -> None:
        self._host, self._pool = host, secrets.token_hex(8)
        with ExitStack() as stack:
            with docker_errors("be reached"):
                self._client = _client(host, _CALL_S)
            stack.callback(self._client.close)
            self._image = self._prepare_image()
            reap(self._client)
            stack.pop_all()

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return self._host or "of the environment"

    def count_warm(self) -> int:
        """How many containers compose runs here. Raises SandboxError."""
        return len(compose_containers(self._client))

    def fault(self) -> str:
        """See `Engine.fault`."""
        return _fault(self._host)

    def close(self) -> None:
        """See `Engine.close`. Containers of an engine that is gone are left to a later `reap`."""
        with (
            suppress(SandboxError),
            docker_errors("be reached"),
            closing(_client(self._host, _PROBE_S)) as client,
        ):
            sweep(client, self._pool)
        self._client.close()

    def start(self) -> StreamSandbox:
        """A lease on a free container of compose, or on a new one. Raises SandboxError."""
        for container in compose_containers(self._client):
            try:
                return _lease(self._client, container, lambda: None)
            except BusyError:
                continue
            except SandboxError as error:
                print(
                    f"[sandbox] not using {container.name}: {error}; "
                    "`docker compose up --detach sandbox` replaces it",
                    file=sys.stderr,
                )
        return with_own_id(self._start_container)

    def _start_container(self, uid: int) -> StreamSandbox:
        container = self._create_container(uid)
        return _lease(self._client, container, partial(remove, container))

    def _create_container(self, uid: int) -> Container:
        try:
            return create(self._client, self._image, self._pool, uid)
        except SandboxError as error:
            if not isinstance(error.__cause__, ImageNotFound):
                raise

        # The image that this pool began with has been removed.
        self._image = self._prepare_image()
        return create(self._client, self._image, self._pool, uid)

    def _prepare_image(self) -> str:
        """Id of the image, built if it is missing."""
        with docker_errors("look for the image"):
            is_missing = image_now(self._client) is None
        if is_missing:
            where = f" on {self._host}" if self._host else ""
            print(f"[sandbox] building the image{where}, once", file=sys.stderr)
        return str(prepare_image(self._client).id)


def _lease(
    client: sdk.DockerClient, container: Container, end: Callable[[], None]
) -> StreamSandbox:
    """A sandbox in a running container. Raises BusyError, SandboxError; `end` is called then."""
    try:
        with docker_errors("reach a sandbox"):
            execution = client.api.exec_create(
                container.id, _relay(), stdin=True, user="0:0"
            )
            connection = client.api.exec_start(execution["Id"], socket=True)
    except SandboxError:
        end()
        raise
    stream = EngineStream(connection)
    return StreamSandbox(stream, Isolation.CONTAINER, inside_digest(), end)


def _relay() -> list[str]:
    path = compose_limits().listen
    return ["python3", "-IS", f"/{INSTALLED}/sandboxes/inside/relay.py", path]


class EngineStream(SocketStream):
    """The engine's connection to an executed command, whose output comes in labelled parts.

    `connection` is what the SDK's `exec_start(socket=True)` returns.
    """

    def __init__(self, connection: Any) -> None:
        raw = getattr(connection, "_sock", connection)
        super().__init__(raw)
        self._wrapper = connection
        self._left_in_part = 0
        # The SDK hands out the socket below the reader that has read the head of the engine's
        # answer, and whatever came with the head stays in there.
        raw.settimeout(0)
        self._early = connection._response.raw._fp.fp.peek()

    def some(self, count: int, until: float) -> bytes:
        """See `SocketStream.some`; anything that the relay writes to stderr ends the stream."""
        while not self._left_in_part:
            label = b""
            while len(label) < _PART.size:
                label += self._raw(_PART.size - len(label), until)
            kind, self._left_in_part = _PART.unpack(label)
            if kind != _STDOUT:
                message = self._raw(self._left_in_part, until).decode(errors="replace")
                # The last line of a traceback names the error.
                raise EOFError(message.strip().rpartition("\n")[2])

        data = self._raw(min(count, self._left_in_part), until)
        self._left_in_part -= len(data)
        return data

    def _raw(self, count: int, until: float) -> bytes:
        if not self._early:
            return super().some(count, until)
        data, self._early = self._early[:count], self._early[count:]
        return data

    def close(self) -> None:
        """See `SocketStream.close`. Each of three layers holds the connection open."""
        if not self._wrapper.closed:
            with suppress(OSError):
                self._wrapper._response.close()
            self._wrapper.close()
        super().close()
