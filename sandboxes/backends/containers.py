"""Containers of the sandbox image: made from the compose file's words, owned, found and reaped."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from docker.types import LogConfig, Ulimit

from sandboxes.base import SandboxError
from sandboxes.limits import SERVICE, compose_limits, compose_service, size_bytes

__all__ = ["compose_containers", "create", "reap", "remove", "sweep", "talking"]

OWNER_LABEL, POOL_LABEL = "scgrpo.owner", "scgrpo.pool"
COMPOSE_LABEL = f"com.docker.compose.service={SERVICE}"
NOT_ABOUT_LIMITS = {"image", "build", "restart"}
# What a container that compose started must have in common with one that we would start.
GUARDS = (
    "CapDrop",
    "CpuPeriod",
    "CpuQuota",
    "IpcMode",
    "Memory",
    "MemorySwap",
    "NanoCpus",
    "NetworkMode",
    "PidsLimit",
    "Privileged",
    "ReadonlyRootfs",
    "Tmpfs",
)


@contextmanager
def talking(deed: str) -> Iterator[None]:
    """Turns whatever goes wrong with the engine into a SandboxError that names the deed."""
    try:
        yield
    except (DockerException, OSError) as error:
        raise SandboxError(f"Docker cannot {deed}: {error}") from error


def container_options(uid: int | None = None) -> dict[str, Any]:
    """The compose file's service in the words of the Docker SDK, for commands of another user id.

    Raises SandboxError for a key that has no translation here: a limit must not get lost.
    """
    service = {k: v for k, v in compose_service().items() if k not in NOT_ABOUT_LIMITS}
    options: dict[str, Any] = {
        "network_mode": service.pop("network_mode"),
        "ipc_mode": service.pop("ipc"),
        "tmpfs": dict(mount.split(":", 1) for mount in service.pop("tmpfs")),
        "log_config": LogConfig(type=service.pop("logging")["driver"]),
        "nano_cpus": round(float(service.pop("cpus")) * 1e9),
        "mem_limit": size_bytes(service.pop("mem_limit")),
        "memswap_limit": size_bytes(service.pop("memswap_limit")),
        "ulimits": [
            Ulimit(name=name, soft=value, hard=value)
            for name, value in service.pop("ulimits").items()
        ],
    }
    same = (
        "command",
        "labels",
        "user",
        "stop_signal",
        "read_only",
        "cap_drop",
        "cap_add",
    )
    for key in (*same, "security_opt", "pids_limit"):
        options[key] = service.pop(key)
    if service:
        raise SandboxError(
            f"docker-compose.yml sets {', '.join(sorted(service))} for {SERVICE}; "
            "teach sandboxes/backends/containers.py to pass it on"
        )
    return options if uid is None else _as_user(options, uid)


def _as_user(options: dict[str, Any], uid: int) -> dict[str, Any]:
    """The options with another user id for the commands and for the folders that are theirs."""
    written = compose_limits().uid
    mounts = {
        path: re.sub(rf"\b([ug]id)={written}\b", rf"\1={uid}", mount)
        for path, mount in options["tmpfs"].items()
    }
    command = [
        f"--uid={uid}" if part == f"--uid={written}" else part
        for part in options["command"]
    ]
    return {**options, "tmpfs": mounts, "command": command}


def create(client: docker.DockerClient, image: str, pool: str, uid: int) -> Container:
    """A running container with the compose file's limits, labelled as this process's and a pool's.

    `image` is an id, since another process may give the name to newer code. `uid` is the commands'.
    The container ends and is removed with its first lease.
    """
    options = container_options(uid)
    options["labels"] = {**options["labels"], OWNER_LABEL: owner(), POOL_LABEL: pool}
    options["command"] = [*options["command"], "--once=1"]
    options["auto_remove"] = True
    with talking("create a sandbox"):
        container = client.containers.create(image, **options)
        try:
            container.start()
        except BaseException:
            remove(container)
            raise
    return container


def remove(container: Container) -> None:
    """Kills and removes a container, which may be gone already. Raises SandboxError."""
    with talking("remove a sandbox"), suppress(NotFound):
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            # 409: somebody else's removal is under way.
            if error.status_code != 409:
                raise


def sweep(client: docker.DockerClient, pool: str) -> None:
    """Removes what is left of a pool: containers whose making or end an engine did not confirm."""
    with talking("list sandboxes"):
        left = client.containers.list(
            all=True, ignore_removed=True, filters={"label": f"{POOL_LABEL}={pool}"}
        )
    for container in left:
        remove(container)


@cache
def boot() -> str:
    """Names this start of this machine and this process-id namespace."""
    started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{started}/{os.stat('/proc/self/ns/pid').st_ino}"


def start_time(pid: int) -> str:
    """Clock ticks from boot to the start of a process; empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def owner() -> str:
    """Names this process among all that ever ran: process ids come again, start times do not."""
    return f"{boot()}/{os.getpid()}/{start_time(os.getpid())}"


def is_orphan(label: str, running: bool) -> bool:
    """Whether the process that a label names is surely dead.

    A label from another machine, namespace or boot says nothing, unless its container has ended.
    """
    where, _, rest = label.rpartition("/")
    where, _, pid = where.rpartition("/")
    if where != boot():
        return not running
    return start_time(int(pid)) != rest


def reap(client: docker.DockerClient) -> int:
    """Removes containers whose owner is dead, found by label alone; how many."""
    with talking("list sandboxes"):
        found = client.containers.list(
            all=True,
            ignore_removed=True,
            filters={"label": [OWNER_LABEL, "scgrpo.sandbox"]},
        )
    orphans = [
        container
        for container in found
        if is_orphan(container.labels[OWNER_LABEL], container.status == "running")
    ]
    for container in orphans:
        remove(container)
    return len(orphans)


def compose_containers(client: docker.DockerClient) -> list[Container]:
    """Running containers of `docker compose up sandbox` with today's limits."""
    with talking("list sandboxes"):
        found = client.containers.list(
            ignore_removed=True,
            filters={"label": ["scgrpo.sandbox", COMPOSE_LABEL], "status": "running"},
        )
    return [container for container in found if is_as_written(client, container)]


def is_as_written(client: docker.DockerClient, container: Container) -> bool:
    """Whether a container has the limits of this checkout."""
    options = {
        k: v
        for k, v in container_options().items()
        if k not in ("command", "labels", "user")
    }
    options.pop("stop_signal")
    wanted = client.api.create_host_config(**{**options, "binds": None})
    found = container.attrs["HostConfig"]
    if any((wanted.get(key) or None) != (found.get(key) or None) for key in GUARDS):
        return False
    return container.attrs["Config"]["Cmd"] == container_options()["command"]
