"""What runs in a rollout worker: environments, and sandboxes of the node that it is on."""

from __future__ import annotations

import sys
import threading

from envs.rollout import Limits, Policy, play
from envs.types import Episode, Task
from sandboxes import SandboxConfig
from scgrpo.cluster.requests import Answer, PlayedEpisode, Request
from scgrpo.instances import EnvInstances
from scgrpo.policies.scripted import RandomPolicy

__all__ = ["RolloutWorker"]


class RolloutWorker:
    """Plays episodes of one environment by policies of another process. Thread-safe.

    An actor of Ray's, and a class like any other. Torch is not imported.
    """

    def __init__(self) -> None:
        self._instances: EnvInstances | None = None
        self._episodes: dict[str, PlayedEpisode] = {}
        self._lock = threading.Lock()

    def open(self, env: str, sandbox: SandboxConfig, folder: str) -> str:
        """Opens the environment and its sandboxes, and returns what those are; "" without any.

        Modules of environments are searched in `folder` too. Raises as `EnvInstances` does.
        """
        if folder not in sys.path:
            sys.path.insert(0, folder)
        self._instances = EnvInstances(env)
        return self._instances.open_sandboxes(sandbox)

    def begin(
        self, key: str, task: Task, limits: Limits, seed: int, version: int | None
    ) -> Request | Episode:
        """Starts an episode, which is called `key`; what it asks, or itself at its end.

        Without a version the environment's random policy plays, which is asked here.
        """
        instances = self._instances
        assert instances is not None, "open() comes first"

        def play_one(policy: Policy) -> Episode:
            with instances.lent() as env:
                chosen = RandomPolicy(env) if version is None else policy
                return play(env, chosen, task, limits=limits, seed=seed)

        episode = PlayedEpisode(play_one, version or 0)
        with self._lock:
            self._episodes[key] = episode
        return self._next(key)

    def go_on(self, key: str, answer: Answer) -> Request | Episode:
        """What the episode asks next, or itself at its end."""
        return self._next(key, answer)

    def close(self) -> None:
        """Ends the environments and the sandboxes."""
        if self._instances is not None:
            self._instances.close()

    def _next(self, key: str, answer: Answer | None = None) -> Request | Episode:
        outcome: Request | Episode | None = None
        try:
            outcome = self._episodes[key].next(answer)
            return outcome
        finally:
            # None if it raised.
            if outcome is None or isinstance(outcome, Episode):
                with self._lock:
                    del self._episodes[key]
