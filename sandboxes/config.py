"""Which sandboxes a run uses: the settings, the backends by name, and `open_pool`.

This module imports no backend: one is imported when it is opened, so that a machine needs the
libraries of its own backend only.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from sandboxes.base import SandboxError, SandboxPool

__all__ = ["BACKENDS", "SandboxConfig", "no_sandbox_error", "open_pool"]

BACKENDS = {
    "auto": "sandboxes.backends.auto:open_pool",
    "docker": "sandboxes.backends.docker:open_pool",
    "local": "sandboxes.backends.bubblewrap:open_pool",
    "shell": "sandboxes.backends.shell:open_pool",
    "unsafe": "sandboxes.backends.unsafe:open_pool",
}
"""Name -> dotted path of the function `(size, config) -> SandboxPool` that opens its pool."""

MAX_DEFAULT_SIZE = 8


@dataclass(frozen=True)
class SandboxConfig:
    """Where untrusted code runs.

    | field | meaning |
    |---|---|
    | backend | docker, local (bubblewrap), unsafe (plain processes); auto: docker, else local; |
    | | shell: as local, with this machine's shell and its usual programs inside; |
    | | my_package.my_module:open_pool is a backend of your own, a function (size, config) |
    | | that returns a SandboxPool |
    | allow_unsafe | must be true for backend=unsafe, which isolates nothing |
    | size | sandboxes at most, of all processes or rollout workers together; 0: each of them has |
    | | twice the number of its machine's cores, at most 8 |
    | hosts | Docker engines to spread the sandboxes over, as unix:///path or tcp://address:port; |
    | | none: the one of the environment |
    """

    backend: str = "auto"
    allow_unsafe: bool = False
    size: int = 0
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_backend()
        if self.size < 0:
            raise ValueError(f"got sandbox.size={self.size}, expected 0 or more")
        for host in self.hosts:
            _check_host(host)

    @property
    def resolved_size(self) -> int:
        """How many sandboxes a pool has at most: `size`, with 0 resolved for this machine."""
        return self.size or min(MAX_DEFAULT_SIZE, 2 * (os.cpu_count() or 1))

    def _check_backend(self) -> None:
        name = self.backend
        if name == "fake":
            raise ValueError(
                "got sandbox.backend='fake', which needs a script: "
                "construct sandboxes.backends.fake.FakePool(handler) and pass it on"
            )
        if name not in BACKENDS:
            _check_dotted_path(name)
        if name == "unsafe" and not self.allow_unsafe:
            raise ValueError(
                "got sandbox.backend='unsafe' without sandbox.allow_unsafe=true: "
                "it runs code on this machine with nothing in between"
            )
        if self.hosts and name in ("local", "shell", "unsafe"):
            raise ValueError(
                f"got sandbox.hosts with sandbox.backend={name!r}, expected backend=docker"
            )


OpenBackend = Callable[[int, SandboxConfig], SandboxPool]
"""Opens a pool of at most that many sandboxes; raises SandboxError."""


def open_pool(config: SandboxConfig | None = None) -> SandboxPool:
    """A pool of `config.resolved_size` sandboxes of the configured backend.

    Raises SandboxError that says what to install or start, ValueError if a backend of your own
    cannot be imported.
    """
    config = config or SandboxConfig()
    open_backend = _load(BACKENDS.get(config.backend, config.backend))
    return open_backend(config.resolved_size, config)


def no_sandbox_error(*reasons: str) -> SandboxError:
    """The error of a backend that this machine lacks; each reason is `backend: why`."""
    return SandboxError(
        f"no sandbox on this machine. {'; '.join(reasons)}. Install Docker or bubblewrap"
    )


def _load(path: str) -> OpenBackend:
    """The function at a dotted path `package.module:function`."""
    module_name, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"cannot load sandbox.backend={path!r}: {error}; {_backend_help()}"
        ) from error
    if not callable(function):
        raise ValueError(
            f"got sandbox.backend={path!r}, which is not a function; {_backend_help()}"
        )
    return cast(OpenBackend, function)


def _check_dotted_path(path: str) -> None:
    module_name, _, name = path.partition(":")
    parts = module_name.split(".")
    if not name.isidentifier() or not all(part.isidentifier() for part in parts):
        raise ValueError(f"got sandbox.backend={path!r}; {_backend_help()}")

    # A path to a module of ours would be a way around the conditions on its short name, such as
    # allow_unsafe.
    if parts[0] == __name__.partition(".")[0]:
        raise ValueError(
            f"got sandbox.backend={path!r}, a module of this project; {_backend_help()}"
        )


def _backend_help() -> str:
    return (
        f"expected one of {', '.join(BACKENDS)}, or my_package.my_module:open_pool "
        "for a backend of your own"
    )


def _check_host(host: str) -> None:
    if host.startswith("ssh://"):
        raise ValueError(
            f"got sandbox.hosts={host!r}; forward its socket with "
            f"`ssh -N -L /tmp/engine.sock:/var/run/docker.sock {host[6:]}` "
            "and give unix:///tmp/engine.sock"
        )
    if not host.startswith(("unix:///", "tcp://")):
        raise ValueError(
            f"got sandbox.hosts={host!r}, expected unix:///path or tcp://address:port"
        )
