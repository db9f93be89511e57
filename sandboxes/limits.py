"""What docker-compose.yml says about a sandbox: the only place where limits are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sandboxes.base import SandboxError

__all__ = ["COMPOSE_FILE", "Limits", "compose_limits", "compose_service"]

COMPOSE_FILE = Path(__file__).resolve().parent.parent / "docker-compose.yml"
SERVICE = "sandbox"
FOLDERS = ("work", "scratch", "shared")
"""Arguments of the runner that name the folders which commands may write."""

SIZES = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use.

    | field | meaning |
    |---|---|
    | memory_mib | memory of all processes and of the working directory together, no swap |
    | pids | processes and threads at one time |
    | cpus | cores |
    | folders_mib | path -> size, of the folders that commands may write |
    | folders_inodes | path -> files and folders that it may hold, itself among them |
    | fsize_mib | size of one file |
    | nofile | open files of one process |
    | runner | arguments of the runner that say where and as whom commands run |
    | listen | where the runner of a container listens |
    | uid | user and group that commands run as |
    """

    memory_mib: int
    pids: int
    cpus: float
    folders_mib: Mapping[str, int]
    folders_inodes: Mapping[str, int]
    fsize_mib: int
    nofile: int
    runner: tuple[str, ...]
    listen: str
    uid: int


@cache
def compose_service() -> Mapping[str, Any]:
    """The service `sandbox` of docker-compose.yml, as written.

    Raises SandboxError where the file is missing, as in an installation that is no checkout.
    """
    try:
        text = COMPOSE_FILE.read_text()
    except OSError as error:
        raise SandboxError(
            f"cannot read the sandbox's limits from {COMPOSE_FILE} ({error.strerror}); "
            "install from a checkout with `pip install -e .`"
        ) from error
    return yaml.safe_load(text)["services"][SERVICE]


@cache
def compose_limits() -> Limits:
    """The limits of the service `sandbox` of docker-compose.yml. Raises SandboxError."""
    service = compose_service()
    arguments = dict(
        part.removeprefix("--").split("=", 1) for part in service["command"]
    )
    mounts = dict(mount.split(":", 1) for mount in service["tmpfs"])
    folders = [arguments[name] for name in FOLDERS]
    return Limits(
        memory_mib=size_bytes(service["mem_limit"]) // 2**20,
        pids=int(service["pids_limit"]),
        cpus=float(service["cpus"]),
        folders_mib={
            path: tmpfs_number(mounts[path], "size") // 2**20 for path in folders
        },
        folders_inodes={
            path: tmpfs_number(mounts[path], "nr_inodes") for path in folders
        },
        fsize_mib=int(service["ulimits"]["fsize"]) // 2**20,
        nofile=int(service["ulimits"]["nofile"]),
        runner=tuple(f"--{name}={arguments[name]}" for name in FOLDERS),
        listen=arguments["listen"],
        uid=int(arguments["uid"]),
    )


def tmpfs_number(options: str, name: str) -> int:
    """One of the numbers that the options of a tmpfs give, such as its size in bytes.

    Raises ValueError where they do not.
    """
    for option in options.split(","):
        if option.startswith(f"{name}="):
            return size_bytes(option.removeprefix(f"{name}="))
    raise ValueError(f"got a tmpfs with {options!r}, wanted a {name}= among them")


def size_bytes(text: str | int) -> int:
    """Bytes that a size such as `512m` stands for. Raises ValueError."""
    found = re.fullmatch(r"(\d+)([bkmg]?)b?", str(text).lower())
    if not found:
        raise ValueError(
            f"got the size {text!r}, wanted a number with b, k, m or g, such as 512m"
        )
    return int(found[1]) * SIZES[found[2] or "b"]
