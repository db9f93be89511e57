"""The groups of each step: which tasks are drawn, and when their episodes are played."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from envs.rollout import Policy
from envs.types import Episode, Task
from scgrpo.config import TrainConfig
from scgrpo.rollouts import SharedRollouts
from scgrpo.steps.log import mixed_groups
from scgrpo.training.background import Lookahead
from scgrpo.training.task_draw import TaskDraw

__all__ = ["Groups", "StepGroups", "draw_tasks"]

MAX_REDRAWS = 20


@dataclass(frozen=True)
class Groups:
    """The groups of a step.

    | field | meaning |
    |---|---|
    | tasks | one for each group |
    | episodes | group by group |
    | seconds | how long they were played |
    | rounds | how many rounds that took; see `StepGroups.take` |
    """

    tasks: list[Task]
    episodes: list[Episode]
    seconds: float
    rounds: int = 1

    def __add__(self, more: Groups) -> Groups:
        return Groups(
            self.tasks + more.tasks,
            self.episodes + more.episodes,
            self.seconds + more.seconds,
            self.rounds + more.rounds,
        )


class StepGroups:
    """Plays the groups of step after step, with `ahead` some steps before they are read.

    | argument | meaning |
    |---|---|
    | step | the last finished step |
    | refills | how many more rounds a step may take, see `take` |
    | rng | draws the tasks of steps that are not played ahead, and of refills |
    """

    def __init__(
        self,
        config: TrainConfig,
        rollouts: SharedRollouts,
        policy: Policy,
        levels: TaskDraw,
        *,
        step: int,
        refills: int,
        rng: np.random.Generator,
    ) -> None:
        self._config = config
        self._rollouts = rollouts
        self._policy = policy
        self._levels = levels
        self._refills = refills
        self._rng = rng
        self._first_rounds = Lookahead(
            config.ahead, step, config.max_steps, self._first_round
        )

    def take(self, step: int) -> Groups:
        """The step's tasks and their episodes; the first round may have been played ahead.

        If the algorithm refills, further rounds replace groups that succeed or fail as one, until
        there are `tasks_per_step` others or no rounds are left.
        """
        config = self._config
        groups = self._first_rounds.take(step)
        if config.ahead:
            # In the main thread, which speaks to the other ranks.
            shared = self._rollouts.gather(groups.episodes, self._policy)
            groups = replace(groups, episodes=shared)
        while groups.rounds <= self._refills:
            mixed = mixed_groups(groups.episodes, config.group_size)
            missing = config.tasks_per_step - mixed
            if missing == 0:
                break
            # Tasks of a round may stand in an earlier one: they are groups of their own.
            more = draw_tasks(self._levels, missing, self._rng)
            seed = _seed(config.seed, step, groups.rounds)
            groups += self._play(more, seed)
        return groups

    def begin_after(self, step: int) -> None:
        """Begins the first rounds of the steps behind `step`, which was taken."""
        self._first_rounds.begin_after(step)

    def wait(self) -> None:
        """Waits for all rounds that have begun. Raises what one of them raised."""
        self._first_rounds.wait()

    def close(self) -> None:
        """Waits for what has begun to end, and drops it. Safe to call twice."""
        self._first_rounds.close()

    def _first_round(self, step: int) -> Callable[[], Groups]:
        """Draws the tasks of the step's first round; what it returns plays their groups."""
        config, rng = self._config, self._rng
        if config.ahead:
            # Of its own, so that a resumed run can draw the step again that was lost on its way.
            rng = np.random.default_rng(_seed(config.seed, step, *b"tasks"))
        tasks = draw_tasks(self._levels, config.tasks_per_step, rng)
        seed = _seed(config.seed, step)
        return partial(self._play, tasks, seed, alone=config.ahead > 0)

    def _play(self, tasks: list[Task], seed: int, *, alone: bool = False) -> Groups:
        """Plays a group of each task; `alone` this rank's part of them, without the others."""
        started = time.monotonic()
        play = self._rollouts.local if alone else self._rollouts
        episodes = play(
            self._policy,
            tasks,
            group=self._config.group_size,
            seed=seed,
        )
        return Groups(tasks, episodes, time.monotonic() - started)


def draw_tasks(levels: TaskDraw, count: int, rng: np.random.Generator) -> list[Task]:
    """`count` tasks, all different as long as there are others to draw."""
    ids: set[str] = set()
    tries = 0
    tasks: list[Task] = []
    while len(tasks) < count:
        task = levels.draw(rng)
        tries += 1
        # A level with fewer tasks than `count` has to repeat some.
        if task.id not in ids or tries > MAX_REDRAWS * count:
            ids.add(task.id)
            tasks.append(task)
    return tasks


def _seed(*parts: int) -> int:
    words = np.random.SeedSequence(parts).generate_state(1)
    return int(words[0])
