"""The sandboxes that this process's code environments share, and how they use them."""

from __future__ import annotations

import atexit
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from sandboxes import Sandbox, SandboxConfig, SandboxError, SandboxPool, open_pool

__all__ = ["default_pool", "file_contents", "in_sandbox", "once_per_pool"]

T = TypeVar("T")

_LOCK = threading.Lock()
_POOLS: list[SandboxPool] = []


def default_pool() -> SandboxPool:
    """One pool with default settings for the whole process, opened at the first call.

    It is closed as the process ends. Raises what `open_pool` raises.
    """
    with _LOCK:
        if not _POOLS:
            pool = open_pool(SandboxConfig())
            atexit.register(pool.close)
            _POOLS.append(pool)
        return _POOLS[0]


def file_contents(files: Mapping[str, str]) -> dict[str, bytes]:
    """Bytes by path, for texts that a policy may have written.

    Half a surrogate pair, which a policy can write, makes a bad file and not a broken sandbox.
    """
    return {path: text.encode(errors="surrogatepass") for path, text in files.items()}


def in_sandbox(pool: SandboxPool, action: Callable[[Sandbox], T]) -> T:
    """What an action gives, done in a sandbox of its own that is wiped afterwards.

    A sandbox that breaks is replaced once. Raises SandboxError if the second one breaks too.
    """
    try:
        with pool.lease() as sandbox:
            return action(sandbox)
    except SandboxError:
        with pool.lease() as sandbox:
            return action(sandbox)


def once_per_pool(
    function: Callable[[SandboxPool, str], T],
) -> Callable[[SandboxPool, str], T]:
    """A function of a pool and a name that works each name out once for each pool.

    Pools differ: their sandboxes may hold another Python. Threads that ask for the same name wait
    for the first of them; what raises is tried again by the next.
    """
    values: WeakKeyDictionary[SandboxPool, dict[str, T]] = WeakKeyDictionary()
    locks: defaultdict[tuple[int, str], threading.Lock] = defaultdict(threading.Lock)
    guard = threading.Lock()

    @wraps(function)
    def lookup(pool: SandboxPool, name: str) -> T:
        """The function's value, worked out if this pool and name are new."""
        with guard:
            values_of_pool = values.setdefault(pool, {})
            lock = locks[id(pool), name]

        # A lock for each name, so that other names do not wait for this one's sandbox.
        with lock:
            if name not in values_of_pool:
                values_of_pool[name] = function(pool, name)
            return values_of_pool[name]

    return lookup
