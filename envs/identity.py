"""Which environment, and which code of it, an episode was played with."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gymnasium

__all__ = ["Identity", "identity"]

_NOT_OURS = ("builtins", "gymnasium", "typing")


@dataclass(frozen=True)
class Identity:
    """An environment: its Gymnasium id with the version, and the SHA-256 of its code.

    The code is that of the environment's class and of the classes of ours that it is made from. Of
    a class in a package within a package, such as `envs.code.swe_lite`, it is the whole family:
    every module below `envs/code`, which all its environments share, but for `build` folders,
    which make data before any episode. Of a class in a top-level package it is the modules of that
    folder alone, and outside a package the class's own module. `env` is empty for an environment
    that was not made by Gymnasium, `source` for one without a file.
    """

    env: str
    source: str


def identity(env: gymnasium.Env[str, str]) -> Identity:
    """The identity of an environment, wrapped or not."""
    name = "" if env.spec is None else env.spec.id
    return Identity(name, _source(type(env.unwrapped)))


@cache
def _source(env_class: type) -> str:
    files: dict[str, Path] = {}
    for part in env_class.__mro__:
        files.update(_modules_of(part))
    if not files:
        return ""

    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode())
        # A zero byte is in no name: it keeps name and content apart.
        digest.update(b"\0")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _modules_of(part: type) -> Iterator[tuple[str, Path]]:
    """The files that count as code of a class, each with its path from above its top package."""
    module = sys.modules.get(part.__module__)
    file = getattr(module, "__file__", None)
    top, _, _ = part.__module__.partition(".")
    if file is None or top in _NOT_OURS:
        return
    path = Path(file)
    package = getattr(module, "__package__", "")
    if not package:
        yield path.name, path
        return

    packages = package.split(".")
    if len(packages) == 1:
        for sibling in path.parent.glob("*.py"):
            yield f"{package}/{sibling.name}", sibling
        return

    # `path` lies as many folders below the family's as there are packages after the first two.
    family = path.parents[len(packages) - 2]
    for member in family.rglob("*.py"):
        inner = member.relative_to(family)
        if "build" not in inner.parts:
            name = "/".join([*packages[:2], inner.as_posix()])
            yield name, member
