"""A user id for each sandbox, so that none uses up what the kernel grants to another's user.

The kernel counts per user, for a whole machine: pending signals, locked memory, pages of pipes,
descriptors in flight, processes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial

from sandboxes.base import SandboxError
from sandboxes.client.stream import StreamSandbox
from sandboxes.limits import compose_limits

__all__ = ["MAX_IDS", "with_own_id"]

MAX_IDS = 4095
"""Ids after the compose file's own, all of them within the 65,536 that an engine may map."""

_LOCK = threading.Lock()
_IN_USE: set[int] = set()


def with_own_id(start: Callable[[int], StreamSandbox]) -> StreamSandbox:
    """What `start` returns for a user id that no other sandbox of this process has meanwhile.

    The id is random, so that sandboxes of other processes are unlikely to have it. Raises what
    `start` raises, and SandboxError if all ids are in use.
    """
    uid = _acquire()
    try:
        sandbox = start(uid)
    except BaseException:
        _release(uid)
        raise
    sandbox.on_close(partial(_release, uid))
    return sandbox


def _acquire() -> int:
    first = compose_limits().uid + 1
    with _LOCK:
        free = sorted(set(range(first, first + MAX_IDS)) - _IN_USE)
        if not free:
            raise SandboxError(
                f"all {MAX_IDS} user ids for sandboxes are in use; close some"
            )
        uid = random.SystemRandom().choice(free)
        _IN_USE.add(uid)
        return uid


def _release(uid: int) -> None:
    with _LOCK:
        _IN_USE.discard(uid)
