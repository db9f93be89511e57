"""Environments whose tasks are the one-edit twins of another one's.

Importing this registers those of our own environments, such as `twins/toy_guess`, so that
`python -m evals.replay --env evals.twin_envs:twins/toy_guess FILE` finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from envs import registry
from envs.base import TextEnv
from envs.types import Task
from evals.evaluation.suites import open_envs

__all__ = ["twin_of", "twin_task"]

NAMESPACE = "twins"
MARK = "/twin"


@cache
def twin_of(name: str) -> str:
    """The Gymnasium id of the environment that plays the twins of `name`, which it registers."""
    plain = open_envs([name])[name]
    kind = type(plain)

    class Twins(kind):
        # Its code is the environment's own: so says `envs.identity`.
        __module__ = kind.__module__
        __doc__ = kind.__doc__

        def tasks(self, split: str, level: int) -> Sequence[Task]:
            """The twins of the tasks that have one."""
            twins = (twin_task(plain, task) for task in plain.tasks(split, level))
            return [twin for twin in twins if twin is not None]

        def find(self, split: str, level: int, task_id: str) -> Task | None:
            """The twin of that id."""
            if not task_id.endswith(MARK):
                return None
            task = plain.find(split, level, task_id.removesuffix(MARK))
            return None if task is None else twin_task(plain, task)

    return registry.register(Twins, NAMESPACE)


def twin_task(env: TextEnv, task: Task) -> Task | None:
    """The twin, under the id of its task with `/twin` behind; None where the task has none."""
    try:
        return replace(env.twin(task), id=task.id + MARK)
    except (NotImplementedError, ValueError):
        return None


for _name in registry.names():
    twin_of(_name)
