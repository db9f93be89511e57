"""Many episodes at once: one thread each, all of them joining the policy's running batch."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

import numpy as np

from envs.mixtures.env import Mixture
from envs.rollout import Limits, Policy, play
from envs.types import Episode, Task
from sandboxes import SandboxConfig
from sandboxes.commands import CommandError
from scgrpo.agents.config import AgentConfig, check_agent
from scgrpo.distributed.ranks import Ranks
from scgrpo.instances import EnvInstances
from scgrpo.policies.scripted import RandomPolicy
from scgrpo.runs.log import progress
from scgrpo.training.causes import count_causes, describe_causes
from scgrpo.training.interrupts import Interrupts

if TYPE_CHECKING:
    from scgrpo.agents.player import AgentPlayer
    from scgrpo.cluster.workers import RolloutWorkers

__all__ = [
    "RolloutError",
    "Rollouts",
    "SharedRollouts",
    "malformed_share",
    "success_rate",
]

POLL_S = 0.5

_Play = Callable[..., Episode]
"""`envs.rollout.play`, or what takes its arguments."""


class RolloutError(CommandError):
    """Episodes cannot be played any more; the message says why and what to do."""


class Rollouts:
    """Plays tasks of one environment in threads, each with an environment of its own.

    Opens sandboxes only for an environment whose constructor takes `sandboxes`. With the command of
    an `agent`, that plays instead of `envs.rollout.play`. With `workers` that many actors of a Ray
    cluster have the environments and the sandboxes, and threads here speak for the policy. A
    context manager. Raises ValueError for both at once: an agent plays on this machine.

    | attribute | meaning |
    |---|---|
    | env | one instance, to ask for tasks; it plays no episode |
    """

    def __init__(
        self,
        env: str,
        limits: Limits,
        *,
        sandbox: SandboxConfig | None = None,
        threads: int = 32,
        agent: AgentConfig | None = None,
        workers: int = 0,
    ) -> None:
        if workers and agent is not None and agent.command:
            raise ValueError(
                f"got {workers} rollout workers and agent.command={agent.command!r}: an agent "
                "plays on this machine; set one only"
            )
        self._limits = limits
        self._threads = threads
        self._play: _Play = play
        self._agents: AgentPlayer | None = None
        self._lock = threading.Lock()
        self._past_turns = _PastTurns()
        self._instances = EnvInstances(env)
        self.env = self._instances.first
        self._workers: RolloutWorkers | None = None

        if agent is not None:
            check_agent(agent, self.env, env)
        sandbox = sandbox or SandboxConfig()
        if workers:
            # Ray is an extra.
            from scgrpo.cluster.workers import RolloutWorkers

            self._workers = RolloutWorkers(
                env, workers, self._instances, sandbox=sandbox, threads=threads
            )
        else:
            self._instances.open_sandboxes(sandbox)
        if agent is not None and agent.command:
            self._open_agents(agent, sandbox)

    def __call__(
        self,
        policy: Policy | None,
        tasks: Sequence[Task],
        *,
        group: int,
        seed: int | Sequence[int],
        description: str = "",
        on_episode: Callable[[int, Episode], None] | None = None,
    ) -> list[Episode]:
        """Plays every task `group` times; episode i belongs to task i // group.

        Without a policy the environment's own random one plays.

        Each episode's sampling seed is derived from `seed` and i, or is `seed[i]`. If more are
        played than there are threads, those start first that took the most turns so far.
        `on_episode(i, episode)` is called as each ends, in the calling thread. An interrupt closes
        the policy, so that running episodes end at once, and passes on.
        """
        count = len(tasks) * group
        seeds = _seeds(seed, count)
        episodes: dict[int, Episode] = {}
        workers = ThreadPoolExecutor(max(1, min(self._threads, count)), "episode")
        try:
            futures: dict[Future[Episode], int] = {}
            for i in self._starting_order(tasks, group):
                task = tasks[i // group]
                futures[workers.submit(self._one, policy, task, seeds[i])] = i
            with progress(count, description) if description else nullcontext() as bar:
                for future in _as_they_end(futures):
                    index = futures[future]
                    episodes[index] = future.result()
                    if bar is not None:
                        bar.advance(1, _so_far(episodes.values()))
                    if on_episode is not None:
                        on_episode(index, episodes[index])
        except BaseException:
            # Threads wait for the policy: only closing it lets them end.
            workers.shutdown(wait=False, cancel_futures=True)
            if policy is not None:
                policy.close()
            if self._workers is not None:
                self._workers.stop()
            raise
        finally:
            workers.shutdown(wait=True)
        return [episodes[i] for i in range(count)]

    def _starting_order(self, tasks: Sequence[Task], group: int) -> list[int]:
        """All i of the episodes in the order to start them: the longest ones first.

        A long episode that starts last would run on alone.
        """
        order = list(range(len(tasks) * group))
        # Otherwise all start at once, or one after another.
        if 1 < self._threads < len(order):
            expected = [self._past_turns.expected_turns(task) for task in tasks]
            order.sort(key=lambda i: expected[i // group], reverse=True)
        return order

    def _open_agents(self, agent: AgentConfig, sandbox: SandboxConfig) -> None:
        # The server's packages are those of an extra.
        from scgrpo.agents.player import AgentPlayer

        try:
            self._agents = AgentPlayer(agent, sandbox)
        except BaseException:
            self.close()
            raise
        self._play = self._agents
        self._threads = min(self._threads, agent.parallel)

    def close(self) -> None:
        """Ends the environments and the sandboxes. Safe to call twice."""
        if self._agents is not None:
            self._agents.close()
        if self._workers is not None:
            self._workers.close()
        self._instances.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _one(self, policy: Policy | None, task: Task, seed: int) -> Episode:
        limits = self._limits_of(task)
        if self._workers is not None:
            episode = self._workers.play(policy, task, limits=limits, seed=seed)
        else:
            if policy is None and self._agents is not None:
                raise ValueError(
                    "an agent plays by a policy's turns, got none: random turns are of the "
                    "environment's own tools"
                )
            with self._instances.lent() as env:
                policy = policy or RandomPolicy(env)
                episode = self._play(env, policy, task, limits=limits, seed=seed)
        with self._lock:
            self._past_turns.add(episode)
        return episode

    def _limits_of(self, task: Task) -> Limits:
        """The budgets of an episode; a part of a mixture may have its own."""
        if isinstance(self.env, Mixture):
            return self.env.limits_of(task, self._limits)
        return self._limits


class _PastTurns:
    """The mean turns of the episodes so far, of each task, and of each split and level."""

    def __init__(self) -> None:
        self._counts: defaultdict[Hashable, int] = defaultdict(int)
        self._turns: defaultdict[Hashable, int] = defaultdict(int)

    def add(self, episode: Episode) -> None:
        """Counts an episode; one without a verdict may have ended early, and is left out."""
        if episode.verdict is None:
            return
        for key in _kinds(episode.task):
            self._counts[key] += 1
            self._turns[key] += len(episode.turns)

    def expected_turns(self, task: Task) -> float:
        """Mean turns of the task; if it is new, of its split and level; infinite if that is."""
        for key in _kinds(task):
            if key in self._counts:
                return self._turns[key] / self._counts[key]
        # An unknown one may be the longest.
        return math.inf


def _kinds(task: Task) -> tuple[Hashable, Hashable]:
    """What episodes are alike in, the narrowest first."""
    return task.id, (task.split, task.level)


class SharedRollouts:
    """Rollouts split over the ranks: each plays a part, all get all episodes in one order.

    The seeds are those that one process would give. If one rank is interrupted, or its policy
    breaks, all of them raise it.
    """

    def __init__(
        self, rollouts: Rollouts, ranks: Ranks, interrupts: Interrupts | None = None
    ) -> None:
        self._rollouts = rollouts
        self._ranks = ranks
        self._interrupts = interrupts
        self.env = rollouts.env

    def __call__(
        self,
        policy: Policy | None,
        tasks: Sequence[Task],
        *,
        group: int,
        seed: int,
        description: str = "",
    ) -> list[Episode]:
        """Plays every task `group` times; episode i belongs to task i // group.

        Raises KeyboardInterrupt on every rank if one is interrupted, RolloutError if the policy of
        one broke: from then on all of its episodes would be errored.
        """
        interrupt: KeyboardInterrupt | None = None
        played: list[Episode] = []
        try:
            with self._interrupts.at_once() if self._interrupts else nullcontext():
                played = self.local(
                    policy, tasks, group=group, seed=seed, description=description
                )
                self._ranks.meet()
        except KeyboardInterrupt as error:
            if self._ranks.count == 1:
                raise
            # The others must hear of it, wherever they are.
            interrupt = error
        return self.gather(played, policy, interrupt)

    def local(
        self,
        policy: Policy | None,
        tasks: Sequence[Task],
        *,
        group: int,
        seed: int,
        description: str = "",
    ) -> list[Episode]:
        """This rank's part of the episodes; it speaks to no other rank, so any thread may call."""
        # Every rank derives all seeds and takes its own of them.
        ranks = self._ranks
        seeds = _seeds(seed, len(tasks) * group)
        part = ranks.shard_range(len(seeds))
        return self._rollouts(
            policy,
            [tasks[i // group] for i in part],
            group=1,
            seed=[seeds[i] for i in part],
            description=description if ranks.is_main_process else "",
        )

    def gather(
        self,
        played: list[Episode],
        policy: Policy | None,
        interrupt: KeyboardInterrupt | None = None,
    ) -> list[Episode]:
        """The parts of all ranks, which `local` has played, in order. All ranks must call it.

        Raises as a call of this does; `interrupt` is what ended this rank's part.
        """
        failure = str(getattr(policy, "failure", None) or "")
        outcomes = self._ranks.all_gather((played, interrupt, failure))
        episodes: list[Episode] = []
        for part, interrupted, _ in outcomes:
            if interrupted is not None:
                raise interrupted
            episodes += part
        for rank, (_, _, failure) in enumerate(outcomes):
            if failure:
                where = f" of process {rank}" if self._ranks.count > 1 else ""
                raise RolloutError(
                    f"what samples the episodes{where} broke, so that none can be played any "
                    f"more: {failure}. Fix that, then continue with resume=true"
                )
        return episodes


def _seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """A sampling seed for each of `count` episodes: derived from `seed`, or `seed` itself."""
    if isinstance(seed, int):
        words = np.random.SeedSequence(seed).generate_state(max(count, 1))
        return [int(word) for word in words]
    if len(seed) != count:
        raise ValueError(
            f"got {len(seed)} seeds, expected one for each of {count} episodes"
        )
    return list(seed)


def _as_they_end(futures: Collection[Future[Episode]]) -> Iterator[Future[Episode]]:
    """The futures in the order in which they end.

    Polls, because Ctrl-C is not delivered during an unbounded `queue.get()`.
    """
    ended: SimpleQueue[Future[Episode]] = SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)
    left = len(futures)
    while left:
        with suppress(Empty):
            yield ended.get(timeout=POLL_S)
            left -= 1


def _so_far(episodes: Collection[Episode]) -> str:
    causes = describe_causes(count_causes(episodes))
    too_long = sum(episode.prompt_too_long for episode in episodes)
    rate = success_rate(episodes)
    parts = ["success unknown" if math.isnan(rate) else f"success {100 * rate:.0f} %"]
    if too_long:
        parts.append(f"prompts too long: {too_long}")
    if causes:
        parts.append(f"errored: {causes}")
    return ", ".join(parts)


def success_rate(episodes: Iterable[Episode]) -> float:
    """Share of verified episodes among those with a verdict; NaN without any."""
    graded = [episode for episode in episodes if episode.verdict is not None]
    if not graded:
        return math.nan
    verified = sum(bool(episode.verified) for episode in graded)
    return verified / len(graded)


def malformed_share(episodes: Sequence[Episode]) -> float:
    """Share of turns without a valid tool call."""
    turns = sum(len(episode.turns) for episode in episodes)
    malformed = sum(episode.malformed for episode in episodes)
    return malformed / max(1, turns)
