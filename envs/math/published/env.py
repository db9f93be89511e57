"""The environments that ask a benchmark's problems, without a tool and with Python."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import ClassVar

from envs.code.testing import default_pool, file_contents, in_sandbox
from envs.math.published.answers import boxed_answer
from envs.math.published.judge import check_package, verdict
from envs.math.published.table import BENCHMARKS, problems
from envs.published.questions import question_family
from envs.releases import PublishedFile
from envs.supply import TaskTable
from envs.tool_env import ToolEnv, tool
from envs.toolspec import Call, parse_call
from envs.types import Task, Verdict
from sandboxes.base import ExecResult, Sandbox, SandboxPool

__all__ = ["BenchmarkMath", "BenchmarkMathPython"]

NO_ANSWER = r"no answer found: write it in LaTeX as \boxed{7}"
RUN_S = 10.0
SHOWN_CHARS = 2000


class BenchmarkMath(ToolEnv):
    r"""Solve a problem of a published benchmark; the first boxed answer is final.

    | | |
    |---|---|
    | prompt | the question as it was published |
    | turn | any text with the answer in `\boxed{...}`, of which the last counts |
    | reply | that no answer was found |
    | verifier | math-verify, and our comparison as fractions (`judge`) |
    | limits | 3 turns |
    | `train`, `id` | as published; `id` is the authors' test split |
    | family | the question's words, without regard to case and space |
    | oracle | the published answer |
    | twin, chance | none: the problems are not ours, and answers are open |
    """

    benchmark: ClassVar[str]
    splits = ("id",)
    max_turns = 3
    instructions = r"Solve the problem. Put the final answer in \boxed{}."

    @classmethod
    def files(cls) -> Sequence[PublishedFile]:
        """What it reads."""
        return [part.file for part in BENCHMARKS[cls.benchmark].parts.values()]

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The problems of a split. Reading one raises MissingDataError if it cannot be judged."""
        return _tasks(self.benchmark, split)

    def reply(self, text: str) -> str | Verdict:
        """Judges the boxed answer."""
        answer = boxed_answer(text)
        if answer is None:
            self.malformed += 1
            return NO_ANSWER
        return verdict(self.task.payload["answer"], answer)

    def oracle(self, task: Task) -> list[str]:
        """The published answer."""
        return [f"\\boxed{{{task.payload['answer']}}}"]

    def critical(self, task: Task) -> list[str]:
        """The published answer."""
        return [task.payload["answer"]]


class BenchmarkMathPython(BenchmarkMath):
    r"""Solve a problem of a published benchmark, with Python in a sandbox.

    As `BenchmarkMath`, and besides:

    | | |
    |---|---|
    | turn | a call of the tool, or any other text with the answer in `\boxed{...}` |
    | tool | `python(code)`: what a program prints, at most 2,000 characters; a new process each |
    | limits | 8 turns; a program is killed after 10 s |

    `sandboxes` is the pool to lease from, else one that the process shares.
    """

    max_turns = 8
    instructions = (
        r"Solve the problem. You may run Python first, one call a turn. "
        r"Put the final answer in \boxed{}."
    )

    def __init__(self, sandboxes: SandboxPool | None = None) -> None:
        super().__init__()
        self._pool = sandboxes

    def reply(self, text: str) -> str | Verdict:
        """Runs the tool if the turn calls it, else judges the boxed answer."""
        # A well-formed call comes first: its code may print a box.
        is_call = isinstance(parse_call(text), Call)
        if is_call or (boxed_answer(text) is None and '"name"' in text):
            return ToolEnv.reply(self, text)
        return super().reply(text)

    @tool
    def python(self, code: str) -> str:
        """Run a Python program and read what it prints."""
        contents = file_contents({"program.py": code})

        def run(sandbox: Sandbox) -> ExecResult:
            """What the program did in an empty folder."""
            sandbox.write(contents)
            return sandbox.run(["python", "program.py"], timeout_s=RUN_S)

        pool = default_pool() if self._pool is None else self._pool
        return _output_text(in_sandbox(pool, run))


def _output_text(result: ExecResult) -> str:
    """The end of what a program printed, errors last."""
    output = (result.stdout + result.stderr).decode("utf-8", "replace").strip()
    if result.timed_out:
        output += f"\nkilled after {RUN_S:.0f} s"
    elif result.truncated:
        output += "\nkilled: too much output"
    return output.strip()[-SHOWN_CHARS:] or "nothing was printed"


@cache
def _tasks(name: str, split: str) -> TaskTable:
    """The tasks of a split, whose ids need none of its data."""

    def task(task_id: str) -> Task:
        """The task of an id, with its row of the file."""
        # Before a turn is paid for that nothing could judge.
        check_package()
        place = int(task_id.rpartition("/")[2])
        problem = problems(name, split)[place]
        return Task(
            id=task_id,
            split=split,
            level=0,
            family=question_family(problem.question),
            prompt=problem.question,
            payload={"answer": problem.answer},
        )

    size = BENCHMARKS[name].parts[split].size
    return TaskTable((f"{split}/0/{place}" for place in range(size)), task)
