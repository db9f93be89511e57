"""Containers of the sandbox image: their options, their owners, and the removal of orphans.

The options are those of docker-compose.yml.
"""

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

__all__ = ["compose_containers", "create", "docker_errors", "reap", "remove", "sweep"]

OWNER_LABEL, POOL_LABEL = "scgrpo.owner", "scgrpo.pool"
COMPOSE_LABEL = f"com.docker.compose.service={SERVICE}"
NOT_ABOUT_LIMITS = {"image", "build", "restart"}
SAME_IN_SDK = (
    "command",
    "labels",
    "user",
    "hostname",
    "extra_hosts",
    "stop_signal",
    "read_only",
    "cap_drop",
    "cap_add",
    "security_opt",
    "pids_limit",
)
"""Keys of a service that the Docker SDK takes by the same name."""

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
def docker_errors(action: str) -> Iterator[None]:
    """Turns any failure of the engine into a SandboxError that names the action."""
    try:
        yield
    except (DockerException, OSError) as error:
        raise SandboxError(f"Docker cannot {action}: {error}") from error


def container_options(uid: int | None = None) -> dict[str, Any]:
    """The compose file's service as options of the Docker SDK; `uid` replaces the commands' user.

    Raises SandboxError for a key that has no translation here: a limit must not get lost.
    """
    service = {
        key: value
        for key, value in compose_service().items()
        if key not in NOT_ABOUT_LIMITS
    }
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
    for key in SAME_IN_SDK:
        options[key] = service.pop(key)

    # Every key was popped above, so what is left would be lost.
    if service:
        raise SandboxError(
            f"docker-compose.yml sets {', '.join(sorted(service))} for {SERVICE}; "
            "teach sandboxes/backends/containers.py to pass it on"
        )
    return options if uid is None else _as_user(options, uid)


def _as_user(options: dict[str, Any], uid: int) -> dict[str, Any]:
    """The options with another user id for the commands and for the folders that they own."""
    file_uid = compose_limits().uid
    mounts = {}
    for path, mount in options["tmpfs"].items():
        mounts[path] = re.sub(rf"\b([ug]id)={file_uid}\b", rf"\1={uid}", mount)
    command = [
        f"--uid={uid}" if part == f"--uid={file_uid}" else part
        for part in options["command"]
    ]
    return {**options, "tmpfs": mounts, "command": command}


def create(client: docker.DockerClient, image: str, pool: str, uid: int) -> Container:
    """A running container with the compose file's limits, labelled as this process's and a pool's.

    `image` is an id, since another process may give the name to newer code. `uid` is the commands'.
    The container ends and is removed with its first lease. Raises SandboxError.
    """
    options = container_options(uid)
    options["labels"] = {**options["labels"], OWNER_LABEL: owner(), POOL_LABEL: pool}
    options["command"] = [*options["command"], "--once=1"]
    options["auto_remove"] = True
    with docker_errors("create a sandbox"):
        container = client.containers.create(image, **options)
        try:
            container.start()
        except BaseException:
            remove(container)
            raise
    return container


def remove(container: Container) -> None:
    """Kills and removes a container, which may be gone already. Raises SandboxError."""
    with docker_errors("remove a sandbox"), suppress(NotFound):
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            # 409: another removal is under way.
            if error.status_code != 409:
                raise


def sweep(client: docker.DockerClient, pool: str) -> None:
    """Removes what is left of a pool: containers whose start or end an engine did not confirm.

    Raises SandboxError.
    """
    with docker_errors("list sandboxes"):
        containers = client.containers.list(
            all=True, ignore_removed=True, filters={"label": f"{POOL_LABEL}={pool}"}
        )
    for container in containers:
        remove(container)


@cache
def boot() -> str:
    """Names this start of this machine and this process-id namespace."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot_id}/{os.stat('/proc/self/ns/pid').st_ino}"


def start_time(pid: int) -> str:
    """Clock ticks from boot to the start of a process; empty if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # Behind the program's name, which stands in parentheses and may hold any character.
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def owner() -> str:
    """Names this process among all that ever ran: process ids recur, start times do not."""
    return f"{boot()}/{os.getpid()}/{start_time(os.getpid())}"


def is_orphan(label: str, running: bool) -> bool:
    """Whether the process that an owner label names is surely dead.

    A label from another machine, namespace or boot proves nothing, unless its container has ended.
    """
    process, _, started = label.rpartition("/")
    origin, _, pid = process.rpartition("/")
    if origin != boot():
        return not running
    return start_time(int(pid)) != started


def reap(client: docker.DockerClient) -> int:
    """Removes containers whose owner is dead, by their label alone, and returns their number.

    Raises SandboxError.
    """
    with docker_errors("list sandboxes"):
        containers = client.containers.list(
            all=True,
            ignore_removed=True,
            filters={"label": [OWNER_LABEL, "scgrpo.sandbox"]},
        )
    count = 0
    for container in containers:
        if is_orphan(container.labels[OWNER_LABEL], container.status == "running"):
            remove(container)
            count += 1
    return count


def compose_containers(client: docker.DockerClient) -> list[Container]:
    """Running containers of `docker compose up sandbox` that have this checkout's limits.

    Raises SandboxError.
    """
    with docker_errors("list sandboxes"):
        containers = client.containers.list(
            ignore_removed=True,
            filters={"label": ["scgrpo.sandbox", COMPOSE_LABEL], "status": "running"},
        )
    return [
        container for container in containers if has_current_limits(client, container)
    ]


def has_current_limits(client: docker.DockerClient, container: Container) -> bool:
    """Whether a container has the limits of this checkout."""
    options = container_options()
    command = options["command"]
    # These belong to the container, not to its host configuration.
    for key in ("command", "labels", "user", "hostname", "stop_signal"):
        del options[key]
    expected = client.api.create_host_config(**options, binds=None)
    actual = container.attrs["HostConfig"]

    # The engine writes an option that is not set as null, empty or zero.
    for key in GUARDS:
        if (expected.get(key) or None) != (actual.get(key) or None):
            return False
    return container.attrs["Config"]["Cmd"] == command
