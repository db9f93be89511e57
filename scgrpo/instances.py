"""Instances of one environment, each lent to one episode at a time."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium

from envs import registry
from envs.base import TextEnv
from sandboxes import SandboxConfig, SandboxPool, open_pool

__all__ = ["EnvInstances"]

logger = logging.getLogger(__name__)


class EnvInstances:
    """As many instances as episodes are played at once. Thread-safe.

    Raises ValueError for an environment that is no TextEnv.

    | attribute | meaning |
    |---|---|
    | first | one instance, to ask for tasks; it is lent to nobody |
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[gymnasium.Env[str, str]] = []
        self._pool: SandboxPool | None = None

        first = registry.make(name)
        inner = first.unwrapped
        if not isinstance(inner, TextEnv):
            raise ValueError(
                f"{name} is a {type(inner).__name__}, expected an envs.base.TextEnv"
            )
        self.first = inner
        self._all: list[gymnasium.Env[str, str]] = [first]

    def open_sandboxes(self, config: SandboxConfig) -> str:
        """Opens the sandboxes that all instances share, and returns what they are.

        Empty, and nothing is opened, for an environment whose constructor takes no `sandboxes`.
        Raises SandboxError.
        """
        # Opening a pool starts containers: not for an environment without code.
        if "sandboxes" not in inspect.signature(type(self.first)).parameters:
            return ""
        self._pool = open_pool(config)
        logger.info("sandbox: %s", self._pool.description)
        return self._pool.description

    @contextmanager
    def lent(self) -> Iterator[gymnasium.Env[str, str]]:
        """An instance that no other block has."""
        # An idle one if there is any: making one may cost a sandbox.
        with self._lock:
            env = self._idle.pop() if self._idle else None
        if env is None:
            arguments: dict[str, Any] = {}
            if self._pool is not None:
                arguments["sandboxes"] = self._pool
            env = registry.make(self._name, **arguments)
            with self._lock:
                self._all.append(env)

        yield env
        with self._lock:
            self._idle.append(env)

    def close(self) -> None:
        """Ends the instances and the sandboxes. Safe to call twice."""
        for env in self._all:
            env.close()
        if self._pool is not None:
            self._pool.close()
