"""How a sandbox is set up, and which version of its code this is. Standard library only."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["INSIDE", "START", "Settings", "hidden_modules", "inside_digest"]

INSIDE = (
    "__init__.py",
    "child.py",
    "frames.py",
    "hidden_modules.txt",
    "imports.py",
    "leases.py",
    "pipes.py",
    "program.py",
    "relay.py",
    "residue.py",
    "runner.py",
    "seccomp.py",
    "settings.py",
    "start.py",
    "streams.py",
    "warm.py",
    "workspace.py",
)
"""The files of this folder, all of which are installed in a sandbox."""

START = "__import__('sandboxes.inside.start').inside.start.main()"
"""Code of the runner's interpreter, an expression: it leaves no name in the module `__main__`."""

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Settings:
    """How this sandbox is set up; each field is an argument of the runner, such as `--uid=1000`.

    | field | meaning |
    |---|---|
    | work, scratch, shared | the folders that commands may write, all of them wiped: the one they
    | | start in, the one for temporary files, shared memory (empty: the machine's own) |
    | uid | user and group of the commands; -1 keeps the runner's own |
    | listen | path of the socket where leases arrive |
    | stream | descriptor of the only lease, instead of `listen` |
    | once | end after the first lease, or if none comes |
    | owns_namespace | this is process 1, so that every process of its namespace is its own |
    | seccomp | put everything under the system-call filter |
    | fsize, nofile, nproc, memory | limits of each command; 0 keeps the runner's own |
    """

    work: str
    scratch: str
    shared: str = ""
    uid: int = -1
    listen: str = ""
    stream: int = -1
    once: int = 0
    owns_namespace: int = 1
    seccomp: int = 1
    fsize: int = 0
    nofile: int = 0
    nproc: int = 0
    memory: int = 0

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Settings:
        """Reads the command line. Raises ValueError or TypeError for what is no field."""
        types = {}
        for field in fields(cls):
            types[field.name] = int if field.type == "int" else str

        values: dict[str, Any] = {}
        for argument in arguments:
            name, text = argument.removeprefix("--").split("=", 1)
            if name not in types:
                raise ValueError(f"got {argument!r}, expected one of {sorted(types)}")
            values[name] = types[name](text)
        return cls(**values)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that commands may write."""
        return tuple(filter(None, (self.work, self.scratch, self.shared)))

    @property
    def limits(self) -> dict[int, int]:
        """Resource limits of a command, by their number."""
        limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_MSGQUEUE: 0}
        optional = {
            resource.RLIMIT_FSIZE: self.fsize,
            resource.RLIMIT_NOFILE: self.nofile,
            resource.RLIMIT_NPROC: self.nproc,
            resource.RLIMIT_AS: self.memory,
        }
        for number, value in optional.items():
            if value:
                limits[number] = value
        return limits

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of a command."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": self.work,
            "TMPDIR": self.scratch,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def hidden_modules() -> list[str]:
    """Modules of the standard library that commands must not import."""
    return (_HERE / "hidden_modules.txt").read_text().split()


@cache
def inside_digest() -> str:
    """Changes with any file that is installed in a sandbox; a process computes it once."""
    digest = hashlib.sha256()
    for name in INSIDE:
        digest.update(hashlib.sha256((_HERE / name).read_bytes()).digest())
    return digest.hexdigest()[:16]
