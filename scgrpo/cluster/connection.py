"""The connection to a Ray cluster, and what calls of its actors return."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sandboxes import SandboxError

__all__ = ["ADDRESS", "WorkerLostError", "connect", "kill", "value_of"]

ADDRESS = "RAY_ADDRESS"
"""The environment variable, of Ray's own, that says where the cluster is."""

ANSWER_S = 10.0


class WorkerLostError(SandboxError):
    """A rollout worker, or its node, is gone."""


def connect() -> bool:
    """Connects to the cluster at $RAY_ADDRESS, else to this machine's; whether that was necessary.

    Raises ValueError if there is none.
    """
    import ray  # pyright: ignore[reportMissingImports]

    if ray.is_initialized():
        return False
    address = os.environ.get(ADDRESS) or "auto"
    handlers = _signal_handlers()
    try:
        _check_answers(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"got rollout workers, and no Ray cluster answers at {address} ({error}): start one "
            f"by `ray start --head`, or name it by {ADDRESS}=HOST:PORT"
        ) from error
    finally:
        # Ray sets its own, by which a run would not save before it ends.
        for number, handler in handlers:
            signal.signal(number, handler)
    return True


def _check_answers(address: str) -> None:
    """Raises OSError if nothing answers there, for which Ray itself waits minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=ANSWER_S).close()


def _signal_handlers() -> Sequence[tuple[int, Any]]:
    if threading.current_thread() is not threading.main_thread():
        return ()
    numbers = (signal.SIGINT, signal.SIGTERM)
    return [(number, signal.getsignal(number)) for number in numbers]


def value_of(reference: Any, timeout_s: float | None = None) -> Any:
    """What a call of a worker returned.

    Raises what it raised, and WorkerLostError if the worker is gone or does not answer in time.
    """
    import ray  # pyright: ignore[reportMissingImports]
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError  # pyright: ignore[reportMissingImports]

    try:
        return ray.get(reference, timeout=timeout_s)
    except RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, Exception) else error from error
    except GetTimeoutError as error:
        message = "a rollout worker did not open its environment in time"
        raise WorkerLostError(message) from error
    except RayError as error:
        lines = str(error).strip().splitlines()
        raise WorkerLostError(lines[0] if lines else type(error).__name__) from error


def kill(actor: Any) -> None:
    """Ends an actor, whether it answers or not."""
    import ray  # pyright: ignore[reportMissingImports]

    # One that is dead already, or whose cluster is gone.
    with suppress(Exception):
        ray.kill(actor)
