"""Which environment, and which code of it, an episode was played with.

One digest says so everywhere: in episodes, in what an evaluation may use again, and in the cache of
warm starts.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import gymnasium

__all__ = ["Identity", "identity"]

_NOT_OURS = ("builtins", "gymnasium", "typing")
_OURS = ("envs", "sandboxes", "scgrpo", "evals")


@dataclass(frozen=True)
class Identity:
    """An environment: its Gymnasium id with the version, and the SHA-256 of its code.

    The code is that of the environment's class, of the classes of ours that it is made from, of
    the modules that theirs import outside packages that are installed, and of the sandbox. Of
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
    files.update(_imported_by(env_class))
    files.update(_sandbox_files())

    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode())
        # A zero byte is in no name: it keeps name and content apart.
        digest.update(b"\0")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _imported_by(env_class: type) -> Iterator[tuple[str, Path]]:
    """The modules from outside installed packages that an environment's modules import.

    Those of this project are left to `_modules_of`, which knows how its packages share code.
    """
    waiting = [part.__module__ for part in env_class.__mro__]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if name in seen or file is None or _is_installed(Path(file)):
            continue
        seen.add(name)
        if name.partition(".")[0] not in _OURS:
            yield name, Path(file)
        for value in vars(module).values():
            # A module itself, or the one that a class or function comes from.
            other = value if isinstance(value, ModuleType) else None
            waiting.append(getattr(other, "__name__", None) or _home(value))


def _home(value: object) -> str:
    """The module in which a class or a function was defined; empty for other values."""
    name = getattr(value, "__module__", None)
    return name if isinstance(name, str) else ""


def _is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed package, which have versions."""
    folders = {Path(folder) for folder in sysconfig.get_paths().values()}
    # A project may lie below the folder of its own virtual environment's interpreter.
    return any(folder in file.parents for folder in folders) or not file.is_file()


@cache
def _sandbox_files() -> dict[str, Path]:
    """The sandbox's code, which runs what is judged."""
    import sandboxes

    folder = Path(sandboxes.__file__).parent
    return {
        f"sandboxes/{file.relative_to(folder).as_posix()}": file
        for file in folder.rglob("*.py")
    }


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
