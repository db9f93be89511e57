"""LiveCodeBench by name: judged at once, with feedback, or on halves of its tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from envs.published.coding.env import Coding, WithFeedback
from envs.published.coding.lcb_data import FILE, SIZE, Problem, Test, problems
from envs.published.coding.lcb_judge import example_fault, program_fault
from envs.published.questions import question_family
from envs.releases import PublishedFile
from envs.supply import TaskTable
from envs.types import Task

__all__ = ["LiveCodeBench", "LiveCodeBenchFeedback", "LiveCodeBenchHalves"]

READS = "Read from standard input, write to standard output."
STARTS = "Begin with this code:"


class LiveCodeBench(Coding):
    """LiveCodeBench 6, contests of February to April 2025 (arXiv:2403.07974).

    As `Coding`, and besides:

    | | |
    |---|---|
    | prompt | the statement, and the code to begin with or that standard input is read |
    | verifier | the published tests, public and hidden, by the rules of the authors' harness |
    | limits | 6 s for each test, 512 MiB |
    | oracle | none: no solutions are published |
    | size | 131 tasks of `id`: 82 read standard input, 49 are functions |
    | family | the words of the statement |
    | source, licence | livecodebench/code_generation_lite on the hub; CC; problems: the contests' |
    """

    name = "livecodebench"

    @classmethod
    def files(cls) -> Sequence[PublishedFile]:
        """What it reads."""
        return (FILE,)

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The problems. Reading one raises MissingDataError without the file."""
        return _tasks(split, halves=False)

    def tests(self, task: Task) -> Sequence[Test]:
        """What judges a task."""
        return self.problem(task).tests()

    def fault(self, task: Task, program: str) -> str:
        """What is wrong by the task's tests."""
        tests = self.tests(task)
        return program_fault(self.sandboxes(), self.problem(task), tests, program)

    def visible_fault(self, task: Task, program: str) -> str:
        """What is wrong by the tests that the statement shows."""
        return example_fault(self.sandboxes(), self.problem(task), program)

    def problem(self, task: Task) -> Problem:
        """The task's problem."""
        return problems()[task.payload["place"]]


class LiveCodeBenchFeedback(WithFeedback, LiveCodeBench):
    """LiveCodeBench 6, with the results of the tests that the statement shows.

    As `LiveCodeBench` and `WithFeedback`.

    | | |
    |---|---|
    | source, licence | as `livecodebench`; CC; problems: the contests' |
    """

    name = "livecodebench_feedback"


class LiveCodeBenchHalves(LiveCodeBench):
    """LiveCodeBench 6, trained on half of each problem's tests, evaluated on the other half.

    The split of arXiv:2606.18810: both splits ask the same problems, so it measures how far
    programs that pass some tests pass others, and not success on problems that are new.

    As `LiveCodeBench`, and besides:

    | | |
    |---|---|
    | `train`, `id` | a random half of each problem's tests, and the other half |
    | size | 131 tasks of each |
    | family | the words of the statement, and the half |
    | source, licence | as `livecodebench`; CC; problems: the contests' |
    """

    name = "livecodebench_halves"
    splits = ("train", "id")

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The problems, which are the same in both splits."""
        return _tasks(split, halves=True)

    def tests(self, task: Task) -> Sequence[Test]:
        """The half of the task's split."""
        return self.problem(task).half("first" if task.split == "train" else "second")


@cache
def _tasks(split: str, *, halves: bool) -> TaskTable:
    """The tasks of a split, whose ids need none of its data."""

    def task(task_id: str) -> Task:
        """The task of an id, with its row of the file."""
        place = int(task_id.rpartition("/")[2])
        problem = problems()[place]
        family = question_family(problem.text)
        return Task(
            id=task_id,
            split=split,
            level=0,
            family=f"{family}-{split}" if halves else family,
            prompt=_prompt(problem),
            payload={"place": place, "tests": split if halves else "all"},
        )

    return TaskTable((f"{split}/0/{place}" for place in range(SIZE)), task)


def _prompt(problem: Problem) -> str:
    if not problem.function:
        return f"{problem.text}\n\n{READS}"
    return f"{problem.text}\n\n{STARTS}\n```python\n{problem.starter}\n```"
