"""Which environment, and which code of it, an episode was played with."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gymnasium

__all__ = ["Identity", "identity"]


@dataclass(frozen=True)
class Identity:
    """An environment: its Gymnasium id with the version, and the SHA-256 of its code.

    The code is every module beside the environment's class and beside the classes of ours that it
    is made from; of a class outside a package its module alone. `env` is empty for an environment
    that was not made by Gymnasium, `source` for one without a file.
    """

    env: str
    source: str


def identity(env: gymnasium.Env[str, str]) -> Identity:
    """The identity of an environment, wrapped or not."""
    return Identity(
        "" if env.spec is None else env.spec.id, _source(type(env.unwrapped))
    )


@cache
def _source(env_class: type) -> str:
    files: set[Path] = set()
    for part in env_class.__mro__:
        module = sys.modules.get(part.__module__)
        file = getattr(module, "__file__", None)
        if file is None or part.__module__.partition(".")[0] in (
            "builtins",
            "gymnasium",
            "typing",
        ):
            continue
        path = Path(file)
        files.update(
            path.parent.glob("*.py") if getattr(module, "__package__", "") else [path]
        )
    if not files:
        return ""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: (path.parent.name, path.name)):
        digest.update(
            f"{path.parent.name}/{path.name}".encode() + b"\0" + path.read_bytes()
        )
    return digest.hexdigest()
