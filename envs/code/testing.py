"""The sandboxes that this process's environments share."""

from __future__ import annotations

import atexit
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sandboxes import Sandbox, SandboxConfig, SandboxError, SandboxPool, open_pool

__all__ = ["in_sandbox", "once_per_pool", "shared_pool"]

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


def in_sandbox(pool: SandboxPool, deed: Callable[[Sandbox], T]) -> T:
    """What a deed gives, done in a box of its own that is wiped afterwards.

    A box that breaks is replaced once. Raises SandboxError where the second one breaks too.
    """
    try:
        with pool.lease() as box:
            return deed(box)
    except SandboxError:
        with pool.lease() as box:
            return deed(box)


def once_per_pool(
    function: Callable[[SandboxPool, str], T],
) -> Callable[[SandboxPool, str], T]:
    """A function of a pool and a name that works each name out once for each pool.

    Pools differ: their sandboxes may hold another Python. Threads that ask for the same name wait
    for the first of them; what raises is tried again by the next.
    """
    values: WeakKeyDictionary[SandboxPool, dict[str, Any]] = WeakKeyDictionary()
    locks: defaultdict[tuple[int, str], threading.Lock] = defaultdict(threading.Lock)
    guard = threading.Lock()

    @wraps(function)
    def cached(pool: SandboxPool, name: str) -> T:
        with guard:
            mine = values.setdefault(pool, {})
            lock = locks[id(pool), name]
        with lock:
            if name not in mine:
                mine[name] = function(pool, name)
            return mine[name]

    return cached
