"""Repairing real code: find the change that makes a package's tests pass again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from envs.code import corpus
from envs.code.boxes import shared_pool
from envs.code.suite import SuiteRun, grade, run_visible
from envs.code.table import Row, rows
from envs.code.workspace import Workspace
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict
from sandboxes.base import SandboxPool

__all__ = ["SweLite"]

CONTEXT_LINES = 2
NAMED_TESTS = 3

_TOOLS = {
    0: ("apply", "submit"),
    1: ("read", "edit", "run_tests", "submit"),
    2: ("ls", "read", "grep", "edit", "run_tests", "submit"),
    3: ("ls", "read", "grep", "edit", "run_tests", "submit"),
}


class SweLite(ToolEnv):
    """One or two lines of a tested package are wrong; repair them and submit.

    | | |
    |---|---|
    | level 0 | the wrong lines and four candidate patches; `apply` puts one in and runs the |
    | | tests; `submit` |
    | level 1 | the wrong lines with their neighbours; `read`, `edit`, `run_tests`, `submit` |
    | level 2 | the function; also `ls`, `grep` |
    | level 3 | the file's name and up to three tests that fail; tools of level 2, 20 turns |
    | turn | a tool call, one JSON object |
    | verifier | all of the package's tests, hidden ones included, in a box that the policy never |
    | | touched, against its version of the one file that a task lets it change |
    | limits | 8 turns, 20 at level 3, and no submission in them is a failure; a test run is |
    | | killed after 10 s, which is a failure |
    | submission | of a changed file, after a test run of it, whatever the tests said |
    | `train`, `id` | one wrong line in different functions of the same sources |
    | `ood/difficulty` | two wrong lines in a function that no other split breaks |
    | `ood/domain` | one wrong line in sources that no other split breaks |
    | bugs | by the operators of `mutate.py`; each fails a visible and a hidden test, and so does |
    | | every wrong candidate |
    | oracle | the right candidate, or the right line and a test run, and the submission |
    | chance | at level 0, a uniform one of the calls that are not refused every turn: 0.25 |
    | source, licence | micro-repositories written here, Apache-2.0; modules of CPython 3.11 with |
    | | their tests, PSF licence |

    The policy's file is kept here, as text; every test run gets a fresh box with that file and the
    visible tests, so nothing that a run leaves behind reaches the next run or the grader.
    `sandboxes` is the pool to take boxes from, else one that the process shares.
    """

    name = "swe_lite"
    splits = ("train", "id", "ood/difficulty", "ood/domain")
    levels = (0, 1, 2, 3)
    max_turns = 8
    instructions = (
        "Fix the bug, then submit once the tests pass. Reply with one call, such as "
        '{"name": "submit"}'
    )

    def __init__(self, sandboxes: SandboxPool | None = None) -> None:
        super().__init__()
        self._pool = sandboxes
        self._workspace: Workspace | None = None
        self._tested = ""
        self._tried: list[int] = []

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The rows of the table that belong to the split, in the table's order."""
        return list(_tasks(split, level).values())

    def find(self, split: str, level: int, task_id: str) -> Task | None:
        """The task of that id, without a search."""
        return _tasks(split, level).get(task_id)

    def begin(self, task: Task) -> None:
        """Lays out the broken package."""
        self._workspace = Workspace(corpus.source(self.row.source), self.row.broken)
        self._tested = ""
        self._tried = []

    def end(self) -> None:
        """Forgets the policy's file."""
        self._workspace = None

    def turn_budget(self, task: Task) -> int:
        """More turns where the bug has to be found first."""
        return 20 if task.level == 3 else self.max_turns

    def offered(self) -> Sequence[str]:
        """The tools of the task's level."""
        return _TOOLS[self.task.level]

    @property
    def row(self) -> Row:
        """The current task's row of the table."""
        return Row.from_json(self.task.payload)

    @property
    def workspace(self) -> Workspace:
        """The policy's files. Raises RuntimeError outside an episode."""
        if self._workspace is None:
            raise RuntimeError("there is no workspace outside an episode: call reset() first")
        return self._workspace

    @tool
    def apply(self, candidate: int) -> str:
        """Apply a candidate, once each, and run the tests."""
        row = self.row
        if not 1 <= candidate <= len(row.candidates):
            return f"no candidate {candidate}, choose 1 to {len(row.candidates)}"
        if candidate in self._tried:
            return f"candidate {candidate} was tried"
        self._tried.append(candidate)
        self.workspace.text = row.with_lines(row.candidates[candidate - 1])
        return self.run_tests()

    @tool
    def ls(self) -> str:
        """List the files."""
        return self.workspace.ls()

    @tool
    def read(self, path: str = "", line: int = 1) -> str:
        """Show a file from a line.

        Args:
            path: a file that ls lists; the one with the bug where left out
        """
        return self.workspace.read(path, line)

    @tool
    def grep(self, text: str) -> str:
        """Find lines that hold a text."""
        return self.workspace.grep(text)

    @tool
    def edit(self, line: int, text: str) -> str:
        """Replace one line."""
        return self.workspace.edit(line, text)

    @tool
    def run_tests(self) -> str:
        """Run the tests."""
        self._tested = self.workspace.text
        run = run_visible(self._sandboxes(), self.workspace.source, self.workspace.text)
        return _summary(run, self.workspace.source.visible_ids, detailed=self.task.level > 0)

    @tool
    def submit(self) -> str | Verdict:
        """Finish."""
        if self.workspace.text == self.row.broken:
            return "nothing changed yet"
        if self.workspace.text != self._tested:
            return "run the tests first"
        workspace = self.workspace
        return grade(self._sandboxes(), workspace.source, workspace.text, self.row.failing)

    def oracle(self, task: Task) -> list[str]:
        """The right change, a test run of it, and the submission."""
        test = [render_call("run_tests")] if task.level > 0 else []
        return [*_right_calls(task), *test, render_call("submit")]

    def critical(self, task: Task) -> list[str]:
        """The right candidate's number, or the right lines, as the oracle writes them."""
        row = Row.from_json(task.payload)
        if task.level == 0:
            return [f'"candidate": {row.answer}']
        return [json.dumps(line.strip(), ensure_ascii=False) for line in row.right]

    def twin(self, task: Task) -> Task:
        """At level 0 the same task with its candidates moved round by one.

        Raises ValueError at other levels, where the right line stays right.
        """
        if task.level != 0:
            raise ValueError(f"only level 0 has twins, got a task of level {task.level}")
        return _task(Row.from_json(task.payload).turned(), task.split, 0)

    def chance(self, level: int) -> float:
        """Success rate of `random_turn`; about 0 above level 0.

        Level 0: the first to the fourth candidate tried are submitted with 1/4 each, and each is
        right with 1/4.
        """
        return 0.25 if level == 0 else 0.0

    def random_turn(self, rng: np.random.Generator) -> str:
        """A call that the environment does not refuse.

        Level 0: a uniform one of the untried candidates and, once there is a change, `submit`. Else
        a uniform tool with uniform arguments; an edit copies another line of the file.
        """
        if self.task.level == 0:
            numbers = range(1, len(self.row.candidates) + 1)
            calls = [render_call("apply", candidate=n) for n in numbers if n not in self._tried]
            calls += [render_call("submit")] if self._tried else []
            return calls[int(rng.integers(len(calls)))]
        name = str(rng.choice(self.offered()))
        lines = self.workspace.text.split("\n")
        place = int(rng.integers(len(lines)))
        arguments: dict[str, Any] = {
            "read": {"line": place + 1},
            "grep": {"text": lines[place].strip()[:20]},
            "edit": {"line": int(rng.integers(len(lines))) + 1, "text": lines[place]},
        }.get(name, {})
        return render_call(name, **arguments)

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, the policy's file, it at the last test run, the tried candidates."""
        text = self.workspace.text if self._workspace else None
        return {
            **super().get_state(),
            "text": text,
            "tested": self._tested,
            "tried": [*self._tried],
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with the policy's file as it was."""
        super().set_state(state)
        if state["text"] is not None:
            self.workspace.text = state["text"]
        self._tested, self._tried = state["tested"], list(state["tried"])

    def _sandboxes(self) -> SandboxPool:
        return self._pool if self._pool is not None else shared_pool()


def _summary(run: SuiteRun, wanted: Sequence[str], *, detailed: bool) -> str:
    """`3 failed` or `all passed`, with the first failure's reason where details are wanted."""
    failed = run.failed(wanted)
    if run.timed_out:
        return "timed out"
    if not failed:
        return "all passed"
    text = f"{len(failed)} failed"
    if not detailed:
        return text
    named = next((test for test in ("import", *failed) if test in run.reasons), "")
    return f"{text}\n{named}: {run.reasons[named]}" if named else f"{text}\nthe run broke off"


@cache
def _tasks(split: str, level: int) -> Mapping[str, Task]:
    found = [_task(row, split, level) for row in rows() if row.split == split]
    return {task.id: task for task in found}


def _task(row: Row, split: str, level: int) -> Task:
    return Task(
        id=f"{split}/{level}/{row.id}",
        split=split,
        level=level,
        family=row.family,
        prompt=_PROMPTS[level](row),
        payload=row.to_json(),
    )


def _choice(row: Row) -> str:
    """Level 0: the wrong lines and the numbered candidates, without indentation."""
    listed = [
        f"{number}: " + "\n   ".join(line.strip() for line in lines)
        for number, lines in enumerate(row.candidates, start=1)
    ]
    wrong = "\n".join(line.strip() for line in row.buggy)
    return "\n".join([f"Bug in {row.source}.py:", wrong, "Candidates:", *listed])


def _neighbours(row: Row) -> str:
    """Level 1: the wrong lines are numbered and shown among their neighbours."""
    text = row.broken.split("\n")
    shown: set[int] = set()
    for number in row.numbers:
        shown.update(range(number - CONTEXT_LINES, number + CONTEXT_LINES + 1))
    listing = _listing(text, sorted(shown))
    where = " and ".join(str(number) for number in row.numbers)
    return f"Bug in {row.source}.py, line {where}:\n{listing}"


def _function(row: Row) -> str:
    """Level 2: the whole function, in which the wrong lines are not marked."""
    listing = _listing(row.broken.split("\n"), row.function_lines)
    return f"Bug in {row.source}.py, in {row.function}:\n{listing}"


def _file(row: Row) -> str:
    """Level 3: the file and what fails, without the function."""
    hidden = corpus.source(row.source).hidden_ids
    failing = [test for test in row.failing if test not in hidden][:NAMED_TESTS]
    return "\n".join([f"Bug in {row.source}.py. These tests fail:", *failing])


def _listing(text: Sequence[str], numbers: Sequence[int]) -> str:
    return "\n".join(f"{n}: {text[n - 1]}" for n in numbers if 1 <= n <= len(text))


def _right_calls(task: Task) -> list[str]:
    row = Row.from_json(task.payload)
    if task.level == 0:
        return [render_call("apply", candidate=row.answer)]
    return [
        render_call("edit", line=number, text=line.strip())
        for number, line in zip(row.numbers, row.right, strict=True)
    ]


_PROMPTS = {0: _choice, 1: _neighbours, 2: _function, 3: _file}
