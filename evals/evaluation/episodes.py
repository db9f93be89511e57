"""Plays what an evaluation still lacks, and keeps every finished episode on disk."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from envs.rollout import Policy
from envs.store import read_episodes, write_episodes
from envs.types import Episode, Task
from evals.evaluation.budget import Budget
from evals.evaluation.suites import Cell
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import disk_errors_explained

__all__ = ["evaluate", "kept", "lacking", "rollout_seeds"]


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
    budget: Budget | None = None,
) -> list[list[Episode]]:
    """`rollouts` episodes of each task; those that `path` holds already are not played again.

    Every episode is appended to `path` as it ends, so an interrupted evaluation goes on where it
    stopped. Episodes without a verdict are played again by a later call, wrong answers are not.
    Raises DiskError, and BudgetSpent with what ended in time on disk.
    """
    done = kept(path, cell, tasks, rollouts=rollouts, seed=seed)
    missing = lacking(done, cell, tasks, rollouts=rollouts, seed=seed)
    if missing:
        budget = budget or Budget()
        with budget.watching(policy):
            played = play(
                policy,
                [task for task, _ in missing],
                group=1,
                seed=[number for _, number in missing],
                description=description,
                on_episode=_keep_in(path, budget),
            )
        before = [episode for group in done for episode in group]
        done = _placed([*before, *played], cell, tasks, rollouts=rollouts, seed=seed)
    return done


def rollout_seeds(cell: Cell, task: Task, rollouts: int, seed: int) -> list[int]:
    """The sampling seed of each rollout of a task, whatever else is played before or beside it.

    So models meet the same seeds, an interrupted evaluation goes on to the same episodes, and
    fewer rollouts are the first ones of more.
    """
    source = np.random.SeedSequence([seed, cell.number, zlib.crc32(task.id.encode())])
    return [int(word) >> 1 for word in source.generate_state(rollouts, np.uint64)]


def kept(
    path: Path,
    cell: Cell,
    tasks: Sequence[Task],
    *,
    rollouts: int,
    seed: int,
    first_try: bool = False,
) -> list[list[Episode]]:
    """Of each task the episodes in the file, in the order of their rollouts.

    Of a rollout that was played more than once, the first with a verdict counts; with `first_try`
    the first, errored or not. An episode of a task that has changed since does not. Raises
    ValueError for a file that holds something else.
    """
    episodes = read_episodes(path) if path.exists() else ()
    asked = {"rollouts": rollouts, "seed": seed}
    return _placed(episodes, cell, tasks, **asked, first_try=first_try)


def lacking(
    done: Sequence[Sequence[Episode]],
    cell: Cell,
    tasks: Sequence[Task],
    *,
    rollouts: int,
    seed: int,
) -> list[tuple[Task, int]]:
    """The rollouts to play: a task and the seed, wherever there is no verdict."""
    return [
        (task, number)
        for task, group in zip(tasks, done, strict=True)
        for number in rollout_seeds(cell, task, rollouts, seed)
        if number not in {e.seed for e in group if e.verdict is not None}
    ]


def _placed(
    episodes: Iterable[Episode],
    cell: Cell,
    tasks: Sequence[Task],
    *,
    rollouts: int,
    seed: int,
    first_try: bool = False,
) -> list[list[Episode]]:
    planned = {
        (task.id, task.content_hash, number): (place, rollout)
        for place, task in enumerate(tasks)
        for rollout, number in enumerate(rollout_seeds(cell, task, rollouts, seed))
    }
    found: list[dict[int, Episode]] = [{} for _ in tasks]
    for episode in episodes:
        key = (episode.task.id, episode.task.content_hash, episode.seed)
        if key in planned:
            place, rollout = planned[key]
            before = found[place].get(rollout)
            if before is None or (before.verdict is None and not first_try):
                found[place][rollout] = episode
    return [[group[rollout] for rollout in sorted(group)] for group in found]


def _keep_in(path: Path, budget: Budget) -> Callable[[int, Episode], None]:
    def keep(_: int, episode: Episode) -> None:
        # At the end of its time a budget closes the policy; what that breaks is no error.
        if episode.verdict is not None or not budget.spent:
            with disk_errors_explained(path):
                write_episodes(path, [episode])
        budget.count(episode)

    return keep
