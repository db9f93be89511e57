"""The sandboxes that this process's environments share."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import TypeVar

from sandboxes import Sandbox, SandboxConfig, SandboxError, SandboxPool, open_pool

__all__ = ["in_box", "shared_pool"]

T = TypeVar("T")

_LOCK = threading.Lock()
_POOLS: list[SandboxPool] = []


def shared_pool() -> SandboxPool:
    """One pool with default settings for the whole process, opened at the first call.

    It is closed as the process ends. Raises what `open_pool` raises.
    """
    with _LOCK:
        if not _POOLS:
            pool = open_pool(SandboxConfig())
            atexit.register(pool.close)
            _POOLS.append(pool)
        return _POOLS[0]


def in_box(pool: SandboxPool, deed: Callable[[Sandbox], T]) -> T:
    """What a deed gives, done in a box of its own that is wiped afterwards.

    A box that breaks is replaced once. Raises SandboxError where the second one breaks too.
    """
    try:
        with pool.lease() as box:
            return deed(box)
    except SandboxError:
        with pool.lease() as box:
            return deed(box)
