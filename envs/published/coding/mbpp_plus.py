"""MBPP+ by name, judged at once or with feedback."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from envs.published.coding.env import Coding, WithFeedback
from envs.published.coding.mbpp_data import FILE, SIZE, problems
from envs.published.coding.mbpp_judge import (
    example_fault,
    find_problem,
    program_fault,
)
from envs.published.questions import question_family
from envs.releases import PublishedFile
from envs.supply import TaskTable
from envs.types import Task

__all__ = ["MbppPlus", "MbppPlusFeedback"]


class MbppPlus(Coding):
    """MBPP+: functions from a sentence and an assertion (arXiv:2108.07732, 2305.01210).

    As `Coding`, and besides:

    | | |
    |---|---|
    | verifier | 40,940 calls of 378 functions; what the canonical solution gives is right, by |
    | | EvalPlus' rules for floats, sets and single problems |
    | limits | four times what the canonical solution takes, and 8 s |
    | oracle | the canonical solution |
    | size | 378 tasks of `id`, the authors' only split |
    | family | the words of the problem |
    | source, licence | github.com/evalplus/mbppplus_release; Apache-2.0 |
    """

    name = "mbpp_plus"

    @classmethod
    def files(cls) -> Sequence[PublishedFile]:
        """What it reads."""
        return (FILE,)

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The problems. Reading one raises MissingDataError without the file."""
        return _tasks(split)

    def fault(self, task: Task, program: str) -> str:
        """What is wrong by all calls."""
        problem = find_problem(task.payload["problem"])
        return program_fault(self.sandboxes(), problem, program)

    def visible_fault(self, task: Task, program: str) -> str:
        """What is wrong by the assertion that the problem shows."""
        problem = find_problem(task.payload["problem"])
        return example_fault(self.sandboxes(), problem, program)

    def oracle(self, task: Task) -> list[str]:
        """The canonical solution."""
        program = find_problem(task.payload["problem"]).solution.strip()
        return [f"```python\n{program}\n```"]

    def critical(self, task: Task) -> list[str]:
        """The canonical solution's last line."""
        program = find_problem(task.payload["problem"]).solution.strip()
        return [program.rpartition("\n")[2].strip()]


class MbppPlusFeedback(WithFeedback, MbppPlus):
    """MBPP+, with the result of the assertion that the problem shows.

    As `MbppPlus` and `WithFeedback`.

    | | |
    |---|---|
    | source, licence | as `mbpp_plus`; Apache-2.0 |
    """

    name = "mbpp_plus_feedback"


@cache
def _tasks(split: str) -> TaskTable:
    """The tasks of a split, whose ids need none of its data."""

    def task(task_id: str) -> Task:
        """The task of an id, with its row of the file."""
        problem = problems()[int(task_id.rpartition("/")[2])]
        return Task(
            id=task_id,
            split=split,
            level=0,
            family=question_family(problem.text),
            prompt=problem.text,
            payload={"problem": problem.name},
        )

    return TaskTable((f"{split}/0/{place}" for place in range(SIZE)), task)
