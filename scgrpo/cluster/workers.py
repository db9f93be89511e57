"""Episodes on a Ray cluster: their environments and sandboxes on its nodes, the policy here.

A lost worker costs the episodes that it plays, which are played again elsewhere, and is placed
again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from envs.identity import identity
from envs.rollout import Limits, Policy
from envs.types import Episode, Stop, Task
from sandboxes import SandboxConfig
from sandboxes.commands import CommandError
from scgrpo.cluster.connection import WorkerLostError, connect, kill, value_of
from scgrpo.cluster.requests import answer_requests
from scgrpo.cluster.worker import RolloutWorker
from scgrpo.instances import EnvInstances

__all__ = ["RolloutWorkers"]

WAIT_S = 600.0
RETRY_S = 30.0
CLOSE_S = 30.0
POLL_S = 0.05
TRIES = 4

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Member:
    """A worker.

    | field | meaning |
    |---|---|
    | place | its bundle in the placement group |
    | opened | Ray's reference to what `RolloutWorker.open` returns |
    | is_open | it has opened its environment |
    | retry_at | when one that could not be opened is placed again |
    | episodes | how many it plays |
    """

    place: int
    actor: Any
    opened: Any
    is_open: bool = False
    retry_at: float = 0.0
    episodes: int = 0


class RolloutWorkers:
    """`count` workers on the cluster at $RAY_ADDRESS, of one core each, spread over its nodes.

    Thread-safe. Raises CommandError if the cluster has no room for them within `WAIT_S` seconds,
    ValueError if there is no cluster, and what the environment or the sandboxes of a worker raise.

    | argument | meaning |
    |---|---|
    | instances | here, of the same environment; not closed by this |
    | sandbox | its size is that of all workers together; 0 is each worker's own to resolve |
    | threads | episodes at once, of all workers together |
    """

    def __init__(
        self,
        env: str,
        count: int,
        instances: EnvInstances,
        *,
        sandbox: SandboxConfig,
        threads: int,
    ) -> None:
        if sandbox.size:
            sandbox = replace(sandbox, size=-(-sandbox.size // count))
        self._arguments = (env, sandbox, os.getcwd())
        self._instances = instances
        self._threads = threads
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._stops = 0
        self._connected = connect()
        self._group: Any = None
        self._members: list[_Member] = []
        try:
            self._place(count)
        except BaseException:
            self.close()
            raise

    def play(
        self, policy: Policy | None, task: Task, *, limits: Limits, seed: int
    ) -> Episode:
        """The episode that `envs.rollout.play` gives, by the random policy without one.

        It is played again if its worker is lost, and has no verdict if that happens `TRIES` times.
        Raises WorkerLostError if no worker works for `WAIT_S` seconds.
        """
        problem = ""
        for _ in range(TRIES):
            with self._reservation() as member:
                try:
                    return self._play_on(member, policy, task, limits, seed)
                except WorkerLostError as error:
                    problem = str(error)
                    self._replace(member, problem)
        return Episode(
            task=task,
            messages=(),
            tools=(),
            segments=(),
            stop=Stop.ERROR,
            verdict=None,
            policy_version=0 if policy is None else policy.version,
            seed=seed,
            error=f"{WorkerLostError.__name__}: {TRIES} times: {problem}",
            **vars(identity(self._instances.first)),
        )

    def stop(self) -> None:
        """Ends the waits of episodes for a worker, which raise WorkerLostError."""
        self._stops += 1

    def close(self) -> None:
        """Ends the workers with their sandboxes. Safe to call twice."""
        import ray  # pyright: ignore[reportMissingImports]
        from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]
        from ray.util.placement_group import remove_placement_group  # pyright: ignore[reportMissingImports]

        self.stop()
        with self._lock:
            members, self._members = self._members, []
        # An actor that is killed would leave its containers to others to clear.
        closing = [member.actor.close.remote() for member in members if member.is_open]
        if closing:
            done, _ = ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S)
            with suppress(RayError):
                ray.get(done)
        for member in members:
            kill(member.actor)
        if self._group is not None:
            remove_placement_group(self._group)
            self._group = None
        if self._connected:
            self._connected = False
            ray.shutdown()

    def _play_on(
        self,
        member: _Member,
        policy: Policy | None,
        task: Task,
        limits: Limits,
        seed: int,
    ) -> Episode:
        """The episode, played by one worker. Raises WorkerLostError if that is lost."""
        key = uuid.uuid4().hex
        version = None if policy is None else policy.version
        begin = partial(self._ask, member, "begin", key, task, limits, seed, version)
        if policy is None:
            return begin()
        return answer_requests(policy, begin, partial(self._ask, member, "go_on", key))

    def _place(self, count: int) -> None:
        """Places all workers, and waits until they have opened their environments."""
        import ray  # pyright: ignore[reportMissingImports]
        from ray.util.placement_group import placement_group  # pyright: ignore[reportMissingImports]

        self._group = placement_group([{"CPU": 1.0}] * count, strategy="SPREAD")
        deadline = time.monotonic() + WAIT_S
        if not self._group.wait(WAIT_S):
            raise CommandError(
                f"the cluster has no room for {count} rollout workers of one core within "
                f"{WAIT_S:g} s; free of {ray.cluster_resources()} are "
                f"{ray.available_resources()}: use fewer, or wait for room"
            )
        self._members = [self._start(place) for place in range(count)]
        sandboxes: set[str] = set()
        for member in self._members:
            left_s = max(0.0, deadline - time.monotonic())
            sandboxes.add(value_of(member.opened, timeout_s=left_s))
            member.is_open = True
        described = "; ".join(sorted(filter(None, sandboxes)))
        logger.info(
            "rollout workers: %d%s", count, described and f"; sandbox: {described}"
        )

    def _start(self, place: int) -> _Member:
        """A worker at a place of the group, which opens its environment once it is there."""
        import ray  # pyright: ignore[reportMissingImports]
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy  # pyright: ignore[reportMissingImports]

        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=place
        )
        # Each episode's call waits in a thread; if the others are lost, one worker plays all.
        actor_class = ray.remote(
            num_cpus=1,
            max_restarts=0,
            max_concurrency=self._threads + 1,
            scheduling_strategy=strategy,
        )(RolloutWorker)
        actor = actor_class.remote()
        return _Member(place, actor, actor.open.remote(*self._arguments))

    @contextmanager
    def _reservation(self) -> Iterator[_Member]:
        """The worker with the fewest episodes, of which one more is counted in the block."""
        member = self._choose()
        try:
            yield member
        finally:
            with self._lock:
                member.episodes -= 1

    def _choose(self) -> _Member:
        """Waits for a worker that is open. Raises WorkerLostError if none is for too long."""
        stops = self._stops
        deadline = time.monotonic() + WAIT_S
        while True:
            self._open_started()
            with self._lock:
                working = [member for member in self._members if member.is_open]
                if working:
                    member = min(working, key=lambda m: m.episodes)
                    member.episodes += 1
                    return member
            if self._stops > stops:
                raise WorkerLostError("the wait for a rollout worker was ended")
            if time.monotonic() > deadline:
                raise WorkerLostError(
                    f"no rollout worker has worked for {WAIT_S:g} s: start a node, then "
                    "continue with resume=true"
                )
            time.sleep(POLL_S)

    def _open_started(self) -> None:
        """Takes in workers that were placed again and have opened their environments."""
        import ray  # pyright: ignore[reportMissingImports]

        with self._lock:
            waiting = [member for member in self._members if not member.is_open]
        # One thread looks, for all of them.
        if not waiting or not self._opening.acquire(blocking=False):
            return
        try:
            for member in waiting:
                if member.retry_at:
                    if member.retry_at < time.monotonic():
                        self._replace(member, "")
                elif ray.wait([member.opened], timeout=0)[0]:
                    self._take_in(member)
        finally:
            self._opening.release()

    def _take_in(self, member: _Member) -> None:
        try:
            value_of(member.opened)
        except Exception as error:  # noqa: BLE001 - whatever a node lacks
            # It may have it later, and the others work on.
            member.retry_at = time.monotonic() + RETRY_S
            logger.warning("a rollout worker cannot be opened: %s", error)
            return
        member.is_open = True
        logger.info("a rollout worker works again")

    def _replace(self, member: _Member, problem: str) -> None:
        """Starts another worker in the place of one that is lost."""
        with self._lock:
            # Each of its episodes notices the loss.
            if member not in self._members:
                return
            self._members[member.place] = self._start(member.place)
            working = sum(other.is_open for other in self._members)
        kill(member.actor)
        if problem:
            logger.warning(
                "a rollout worker is lost, %d of %d work: %s",
                working,
                len(self._members),
                problem,
            )

    def _ask(self, member: _Member, method: str, *arguments: Any) -> Any:
        """What a method of the worker returns. Raises WorkerLostError if it does not."""
        return value_of(getattr(member.actor, method).remote(*arguments))
