"""Plays what an evaluation still lacks, and keeps every finished episode on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from envs.rollout import Policy
from envs.store import read_episodes, write_episodes
from envs.types import Episode, Task
from evals.suites import Cell
from scgrpo.disk import explained
from scgrpo.rollouts import Rollouts

__all__ = ["evaluate", "kept", "lacking"]


def evaluate(
    policy: Policy,
    play: Rollouts,
    cell: Cell,
    tasks: Sequence[Task],
    *,
    rollouts: int,
    seed: int,
    path: Path,
    description: str = "",
) -> list[list[Episode]]:
    """`rollouts` episodes of each task; those that `path` holds already are not played again.

    Every episode is appended to `path` as it ends, so an interrupted evaluation goes on where it
    stopped. Episodes without a verdict are played again by a later call, wrong answers are not.
    All policies get the same sampling seeds until one is interrupted. Raises DiskError.
    """
    done = kept(path, tasks, rollouts)
    missing = lacking(done, tasks, rollouts)
    if missing:
        stored = sum(1 for _ in read_episodes(path)) if path.exists() else 0
        fresh = np.random.SeedSequence([seed, cell.number, stored]).generate_state(1)
        play(
            policy,
            missing,
            group=1,
            seed=int(fresh[0]),
            description=description,
            on_episode=_append_to(path),
        )
        done = kept(path, tasks, rollouts)
    return done


def kept(path: Path, tasks: Sequence[Task], rollouts: int) -> list[list[Episode]]:
    """Of each task the episodes in the file: verdicts first, at most `rollouts` altogether.

    An episode of a task that has changed since does not count. Raises ValueError for a file that
    holds something else.
    """
    places = {(task.id, task.content_hash): place for place, task in enumerate(tasks)}
    found: list[list[Episode]] = [[] for _ in tasks]
    for episode in read_episodes(path) if path.exists() else ():
        place = places.get((episode.task.id, episode.task.content_hash))
        if place is not None:
            found[place].append(episode)
    return [sorted(group, key=lambda e: e.verdict is None)[:rollouts] for group in found]


def lacking(done: Sequence[Sequence[Episode]], tasks: Sequence[Task], rollouts: int) -> list[Task]:
    """The tasks to play, each as often as it lacks verdicts."""
    return [
        task
        for task, group in zip(tasks, done, strict=True)
        for _ in range(rollouts - sum(e.verdict is not None for e in group))
    ]


def _append_to(path: Path) -> Callable[[int, Episode], None]:
    def append(_: int, episode: Episode) -> None:
        with explained(path):
            write_episodes(path, [episode])

    return append
