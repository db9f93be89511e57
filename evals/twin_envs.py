"""Environments whose tasks are the one-edit twins of another one's.

A task and its twin are a minimal pair. Importing this module registers the twins of this project's
environments, such as `twins/toy_guess`, so that
`scgrpo replay --env evals.twin_envs:twins/toy_guess FILE` can play them.
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
SUFFIX = "/twin"


@cache
def twin_of(name: str) -> str:
    """The Gymnasium id of the environment that plays the twins of `name`, which it registers."""
    original = open_envs([name])[name]
    kind = type(original)

    class Twins(kind):
        # `envs.identity` hashes the module: the twins run the environment's code.
        __module__ = kind.__module__
        __doc__ = kind.__doc__

        def tasks(self, split: str, level: int) -> Sequence[Task]:
            """The twins of the tasks that have one."""
            twins = (twin_task(original, task) for task in original.tasks(split, level))
            return [twin for twin in twins if twin is not None]

        def find(self, split: str, level: int, task_id: str) -> Task | None:
            """The twin of that id."""
            if not task_id.endswith(SUFFIX):
                return None
            task = original.find(split, level, task_id.removesuffix(SUFFIX))
            return None if task is None else twin_task(original, task)

    return registry.register(Twins, NAMESPACE)


def twin_task(env: TextEnv, task: Task) -> Task | None:
    """The twin, under the id of its task with `/twin` behind; None if the task has none."""
    try:
        return replace(env.twin(task), id=task.id + SUFFIX)
    except (NotImplementedError, ValueError):
        return None


for _name in registry.names():
    twin_of(_name)
