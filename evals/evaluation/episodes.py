"""Plays what an evaluation still misses, and saves every finished episode."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs.rollout import Policy
from envs.store import read_episodes, write_episodes
from envs.types import Episode, Task
from evals.evaluation.budget import Budget
from evals.evaluation.suites import Suite
from scgrpo.runs.disk import disk_errors_explained

if TYPE_CHECKING:
    from scgrpo.rollouts import Rollouts

__all__ = ["evaluate", "missing_rollouts", "rollout_seeds", "read_saved"]


def evaluate(
    policy: Policy,
    play: Rollouts,
    suite: Suite,
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
    stopped. Errored episodes are played again by a later call; wrong answers and prompts that are
    too long are not.
    Raises DiskError, and BudgetSpent with what ended in time on disk.
    """
    saved = read_saved(path, suite, tasks, rollouts=rollouts, seed=seed)
    missing = missing_rollouts(saved, suite, tasks, rollouts=rollouts, seed=seed)
    if not missing:
        return saved

    budget = budget or Budget()
    with budget.watching(policy):
        played = play(
            policy,
            [task for task, _ in missing],
            group=1,
            seed=[number for _, number in missing],
            description=description,
            on_episode=_saver(path, budget),
        )

    # The saved ones come first, so that a later try replaces an errored one and not the reverse.
    episodes = [episode for group in saved for episode in group]
    episodes += played
    return _group_by_task(episodes, suite, tasks, rollouts=rollouts, seed=seed)


def rollout_seeds(suite: Suite, task: Task, rollouts: int, seed: int) -> list[int]:
    """The sampling seed of each rollout of a task, whatever else the evaluation plays.

    So models meet the same seeds, an interrupted evaluation goes on to the same episodes, and
    fewer rollouts are the first ones of more.
    """
    number = zlib.crc32(task.id.encode())
    source = np.random.SeedSequence([seed, suite.number, number])
    words = source.generate_state(rollouts, np.uint64)
    # 63 bits, so that a signed column of a data set can hold them.
    return [int(word) >> 1 for word in words]


def read_saved(
    path: Path,
    suite: Suite,
    tasks: Sequence[Task],
    *,
    rollouts: int,
    seed: int,
    first_try: bool = False,
) -> list[list[Episode]]:
    """The episodes of each task in the file, in the order of their rollouts.

    If a rollout was played more than once, the first that did not error counts; with `first_try`
    the first, errored or not. An episode of a task that has changed since does not count. Raises
    ValueError for a file that holds something else.
    """
    episodes = read_episodes(path) if path.exists() else ()
    return _group_by_task(
        episodes, suite, tasks, rollouts=rollouts, seed=seed, first_try=first_try
    )


def missing_rollouts(
    saved: Sequence[Sequence[Episode]],
    suite: Suite,
    tasks: Sequence[Task],
    *,
    rollouts: int,
    seed: int,
) -> list[tuple[Task, int]]:
    """The rollouts to play: task and seed of each one that did not end, or errored."""
    missing = []
    for task, group in zip(tasks, saved, strict=True):
        done = {episode.seed for episode in group if not episode.errored}
        for number in rollout_seeds(suite, task, rollouts, seed):
            if number not in done:
                missing.append((task, number))
    return missing


def _group_by_task(
    episodes: Iterable[Episode],
    suite: Suite,
    tasks: Sequence[Task],
    *,
    rollouts: int,
    seed: int,
    first_try: bool = False,
) -> list[list[Episode]]:
    # The content hash leaves out episodes of a task whose text has changed.
    places = {}
    for place, task in enumerate(tasks):
        seeds = rollout_seeds(suite, task, rollouts, seed)
        for rollout, number in enumerate(seeds):
            places[task.id, task.content_hash, number] = (place, rollout)

    groups: list[dict[int, Episode]] = [{} for _ in tasks]
    for episode in episodes:
        task = episode.task
        key = (task.id, task.content_hash, episode.seed)
        if key not in places:
            continue
        place, rollout = places[key]
        group = groups[place]
        before = group.get(rollout)
        # Only an errored episode gives way to a later try.
        if before is None or (before.errored and not first_try):
            group[rollout] = episode

    return [[group[rollout] for rollout in sorted(group)] for group in groups]


def _saver(path: Path, budget: Budget) -> Callable[[int, Episode], None]:
    def save(_: int, episode: Episode) -> None:
        """Appends an episode that ended, and counts it. Raises BudgetSpent, DiskError."""
        # At the end of its time a budget closes the policy; what that breaks is no error.
        if not episode.errored or not budget.spent:
            with disk_errors_explained(path):
                write_episodes(path, [episode])
        budget.count(episode)

    return save
