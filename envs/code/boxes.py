"""The sandboxes that this process's environments share."""

from __future__ import annotations

import atexit
import threading

from sandboxes import SandboxConfig, SandboxPool, open_pool

__all__ = ["shared_pool"]

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
