"""Many episodes at once: one thread each, all of them joining the policy's running batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import gymnasium
import numpy as np

from envs import registry
from envs.rollout import Limits, Policy, play
from envs.types import Episode, Task

__all__ = ["rollouts"]


def rollouts(
    env_name: str,
    policy: Policy,
    tasks: Sequence[Task],
    *,
    group: int,
    limits: Limits,
    seed: int,
    threads: int = 32,
    env_kwargs: Mapping[str, Any] | None = None,
    on_episode: Callable[[int, Episode], None] | None = None,
) -> list[Episode]:
    """Plays every task `group` times; episode i belongs to task i // group.

    Each episode's sampling seed is derived from `seed` and i. `on_episode(i, episode)` is called
    as each ends, in the calling thread. KeyboardInterrupt cancels what has not begun, ends what has,
    and passes on.
    """
    count = len(tasks) * group
    seeds = np.random.SeedSequence(seed).generate_state(max(count, 1))
    made: list[gymnasium.Env[str, str]] = []
    own = threading.local()

    def one(index: int) -> Episode:
        if not hasattr(own, "env"):
            own.env = registry.make(env_name, **dict(env_kwargs or {}))
            made.append(own.env)
        return play(
            own.env, policy, tasks[index // group], limits=limits, seed=int(seeds[index])
        )

    episodes: list[Episode | None] = [None] * count
    pool = ThreadPoolExecutor(max_workers=max(1, min(threads, count)), thread_name_prefix="episode")
    try:
        futures = {pool.submit(one, index): index for index in range(count)}
        for future in as_completed(futures):
            index = futures[future]
            episode = future.result()
            episodes[index] = episode
            if on_episode is not None:
                on_episode(index, episode)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown(wait=True)
        for env in made:
            env.close()
    return [episode for episode in episodes if episode is not None]
