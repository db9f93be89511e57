"""The limits of a sandbox, read from docker-compose.yml, the only place where they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

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
    | runner | arguments of the runner that say which folders commands may write |
    | listen | path at which the runner of a container listens |
    | uid | user and group that commands run as |
    | user_ids | ids of users that have a name, such as 61234-65329: `uid` and those after it |
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
    user_ids: str


@cache
def compose_service() -> Mapping[str, Any]:
    """The service `sandbox` of docker-compose.yml, as written.

    Raises SandboxError if the file is missing, as in an installation that is no checkout.
    """
    # Here, so that the protocol can be imported without a YAML parser.
    import yaml

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
    ulimits = service["ulimits"]

    folders_mib = {}
    folders_inodes = {}
    for path in folders:
        folders_mib[path] = tmpfs_number(mounts[path], "size") // 2**20
        folders_inodes[path] = tmpfs_number(mounts[path], "nr_inodes")

    return Limits(
        memory_mib=size_bytes(service["mem_limit"]) // 2**20,
        pids=int(service["pids_limit"]),
        cpus=float(service["cpus"]),
        folders_mib=folders_mib,
        folders_inodes=folders_inodes,
        fsize_mib=int(ulimits["fsize"]) // 2**20,
        nofile=int(ulimits["nofile"]),
        runner=tuple(f"--{name}={arguments[name]}" for name in FOLDERS),
        listen=arguments["listen"],
        uid=int(arguments["uid"]),
        user_ids=service["build"]["args"]["USER_IDS"],
    )


def tmpfs_number(options: str, name: str) -> int:
    """One of the numbers in a tmpfs's options, such as its size in bytes.

    Raises ValueError if they do not name it.
    """
    for option in options.split(","):
        if option.startswith(f"{name}="):
            return size_bytes(option.removeprefix(f"{name}="))
    raise ValueError(f"got a tmpfs with {options!r}, expected a {name}= among them")


def size_bytes(text: str | int) -> int:
    """Bytes that a size such as `512m` stands for. Raises ValueError."""
    match = re.fullmatch(r"(\d+)([bkmg]?)b?", str(text).lower())
    if not match:
        raise ValueError(
            f"got the size {text!r}, expected a number with b, k, m or g, such as 512m"
        )
    number, unit = match.groups()
    return int(number) * SIZES[unit or "b"]
