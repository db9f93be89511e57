"""The references of tasks: verified and failed episodes that no model had to play.

They come from the environment's random but well-formed policy, and from its oracle for a task that
this solves in no episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.base import TextEnv
from envs.store import read_episodes, to_json
from envs.types import Episode, Task
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import write_atomically

__all__ = ["TRIES", "TaskReferences", "references_of"]

ROUNDS, TRIES_PER_ROUND = 4, 4
TRIES = ROUNDS * TRIES_PER_ROUND
"""Most random episodes of a task."""
ORACLE_SEED = 0
"""Of oracle episodes, which draw nothing; random ones have other seeds."""


@dataclass(frozen=True)
class TaskReferences:
    """What a model may be shown of a task; None if there is no such episode.

    | field | meaning |
    |---|---|
    | verified | a solved random episode, else the oracle's |
    | failed | a random episode that did not solve it |
    | is_random | the verified one is random |
    """

    verified: Episode | None = None
    failed: Episode | None = None
    is_random: bool = False


def references_of(
    play: Rollouts, tasks: Sequence[Task], *, seed: int, path: Path, description: str
) -> list[TaskReferences]:
    """The references of each task; those that `path` holds are not played again."""
    if path.exists():
        episodes = list(read_episodes(path))
    else:
        episodes = _random_episodes(play, tasks, seed, description)
        episodes += _oracle_episodes(play, tasks, _first(episodes, verified=True))
        # What broke may work the next time.
        if not any(episode.errored for episode in episodes):
            write_atomically(path, "".join(to_json(e) + "\n" for e in episodes))

    verified = _first(episodes, verified=True)
    failed = _first(episodes, verified=False)
    references: list[TaskReferences] = []
    for task in tasks:
        shown = verified.get(task.id)
        is_random = shown is not None and shown.seed != ORACLE_SEED
        references.append(TaskReferences(shown, failed.get(task.id), is_random))
    return references


def _random_episodes(
    play: Rollouts, tasks: Sequence[Task], seed: int, description: str
) -> list[Episode]:
    """Random episodes in rounds, until each task has both kinds or no rounds are left."""
    episodes: list[Episode] = []
    missing = list(tasks)
    for number in range(ROUNDS):
        if not missing:
            break
        places = range(number * TRIES_PER_ROUND, (number + 1) * TRIES_PER_ROUND)
        # A task's seeds do not depend on which others are missing.
        seeds = [1 + seed * TRIES + place for place in places]
        episodes += play(
            None,
            missing,
            group=TRIES_PER_ROUND,
            seed=seeds * len(missing),
            description=description,
        )
        verified = _first(episodes, verified=True)
        failed = _first(episodes, verified=False)
        missing = [t for t in missing if t.id not in verified or t.id not in failed]
    return episodes


def _oracle_episodes(
    play: Rollouts, tasks: Sequence[Task], solved: Mapping[str, Episode]
) -> list[Episode]:
    """The oracle's episodes of the tasks that are not in `solved`; none without an oracle."""
    if type(play.env).oracle is TextEnv.oracle:
        return []
    episodes: list[Episode] = []
    for task in tasks:
        if task.id not in solved:
            script = ScriptedPolicy(play.env.oracle(task))
            episodes += play(script, [task], group=1, seed=[ORACLE_SEED])
    return episodes


def _first(episodes: Sequence[Episode], *, verified: bool) -> dict[str, Episode]:
    """Task's id -> its first episode with that outcome; errored ones have none."""
    by_task: dict[str, Episode] = {}
    for episode in episodes:
        if episode.verdict is not None and episode.verified is verified:
            by_task.setdefault(episode.task.id, episode)
    return by_task
