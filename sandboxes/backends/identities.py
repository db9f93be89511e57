"""User ids for sandboxes: each has one of its own, so that none spends what another's user may.

The kernel counts much per user for a whole machine: pending signals, locked memory, pages of pipes,
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

__all__ = ["MOST", "with_own_id"]

MOST = 4095
"""Ids after the compose file's own, all of them within the 65,536 that an engine may map."""

_LOCK = threading.Lock()
_IN_USE: set[int] = set()


def with_own_id(start: Callable[[int], StreamSandbox]) -> StreamSandbox:
    """What `start` makes, given a user id that no other sandbox of this process has meanwhile.

    Drawn by chance, so that sandboxes of other processes are unlikely to have it. Raises what
    `start` raises, and SandboxError where all ids are out.
    """
    uid = _take()
    try:
        sandbox = start(uid)
    except BaseException:
        _release(uid)
        raise
    sandbox.at_end(partial(_release, uid))
    return sandbox


def _take() -> int:
    first = compose_limits().uid + 1
    with _LOCK:
        free = sorted(set(range(first, first + MOST)) - _IN_USE)
        if not free:
            raise SandboxError(
                f"all {MOST} user ids for sandboxes are in use; close some"
            )
        uid = random.SystemRandom().choice(free)
        _IN_USE.add(uid)
        return uid


def _release(uid: int) -> None:
    with _LOCK:
        _IN_USE.discard(uid)
