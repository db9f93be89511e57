"""Repairing real code: find the change that makes a package's tests pass again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.code.swe_lite import corpus
from envs.code.swe_lite.grading import SuiteRun, refusal, run_visible, summary
from envs.code.swe_lite.solution import critical_texts, right_calls
from envs.code.swe_lite.submission import agent_prompt, starting_texts, verdict_of
from envs.code.swe_lite.table import Row
from envs.code.swe_lite.tasks import REPOSITORY, rows_in, task_of, tasks_of
from envs.code.swe_lite.workspace import Workspace
from envs.code.testing import default_pool
from envs.code.vet import UNREADABLE, new_reach
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict
from sandboxes.base import SandboxPool

__all__ = ["SweLite"]

_TOOLS = {
    0: ("apply", "submit"),
    1: ("read", "edit", "run_tests", "submit"),
    2: ("ls", "read", "grep", "edit", "run_tests", "submit"),
    3: ("ls", "read", "grep", "edit", "run_tests", "submit"),
    4: ("ls", "read", "grep", "edit_file", "run_tests", "submit"),
}
_TURNS = {3: 20, 4: 30}


class SweLite(ToolEnv):
    """One or two lines of a tested package are wrong; repair them and submit.

    | | |
    |---|---|
    | level 0 | the wrong lines and four candidate patches; `apply` puts one in and runs the |
    | | tests; `submit` |
    | level 1 | the wrong lines with their neighbours; `read`, `edit`, `run_tests`, `submit` |
    | level 2 | the function; also `ls`, `grep` |
    | level 3 | the file's name and up to three tests that fail; tools of level 2, 20 turns |
    | level 4 | a repository of three modules, two of them broken as in two rows of the table; |
    | | `edit_file` takes a path; 30 turns |
    | turn | a tool call, one JSON object |
    | verifier | all of the package's tests, hidden ones included, in a sandbox that the policy |
    | | never touched, against its version of the one file that a task lets it change; and a |
    | | witness: calls whose values are compared outside of the submission's process; at |
    | | level 4 each changed module with its own tests and witness |
    | refusal | a change that brings in a way to the tests is refused at `run_tests` |
    | parts | `passing`: the share of the visible tests that passed in the last run |
    | limits | 8 turns, 20 or 30 from level 3, and no submission in them is a failure; a test |
    | | run is killed after 10 s, which is a failure |
    | submission | of a changed file, after a test run of it, whatever came of it |
    | `train`, `id` | one wrong line in different functions of the same sources; the next |
    | | three have functions of these sources for themselves, too |
    | `ood/difficulty` | two wrong lines in a function |
    | `ood/composition` | one wrong line by an operator that training never uses |
    | `ood/surface` | the source's local variables are v1, v2, ...; test runs and prompts |
    | | only count what fails |
    | `ood/domain` | one wrong line in sources that no other split breaks |
    | level 0 | has the rows whose line gives four fair candidates: other bugs of it and, in |
    | | `ood/difficulty`, `ood/composition` and `ood/surface`, also texts of `decoys.py` |
    | bugs | by the operators of `mutate.py`; each fails a visible and a hidden test, and so does |
    | | every wrong candidate |
    | oracle | the right candidate, or the right line and a test run, and the submission |
    | chance | at level 0, a uniform one of the calls that are not refused every turn: 0.25 |
    | source, licence | micro-repositories written here, Apache-2.0; modules of CPython 3.11 with |
    | | their tests, PSF licence; `ood/domain`: also sdists of jsmin and parse, MIT, |
    | | jsonpointer, BSD-3-Clause, and toposort, Apache-2.0, fetched from the package index |

    The policy's files are kept here, as text; every test run gets a fresh sandbox with one file and
    its visible tests, so nothing that a run leaves behind reaches the next run or the grader.
    `sandboxes` is the pool to lease from, else one that the process shares.
    """

    name = "swe_lite"
    splits = (
        "train",
        "id",
        "ood/difficulty",
        "ood/domain",
        "ood/composition",
        "ood/surface",
    )
    levels = (0, 1, 2, 3, 4)
    max_turns = 8
    instructions = (
        "Fix the bug, then submit once the tests pass. Reply with one call, such as "
        '{"name": "submit"}'
    )

    def __init__(self, sandboxes: SandboxPool | None = None) -> None:
        super().__init__()
        self._pool = sandboxes
        self._workspace: Workspace | None = None
        self._run_texts: dict[str, str] = {}
        self._pass_share = 0.0
        self._tries: list[int] = []

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The rows of the table that belong to the split, in the table's order."""
        return tasks_of(split, level)

    def begin(self, task: Task) -> None:
        """Lays out the broken packages, and at level 4 the right one."""
        packages = [(row.package, row.broken) for row in rows_in(task)]
        if task.level == REPOSITORY:
            idle = corpus.source(task.payload["idle"])
            packages.append((idle, idle.text))
            # By name, so that the place says nothing about which is right.
            packages.sort(key=lambda package: package[0].name)
        self._workspace = Workspace(*packages)
        self._run_texts = {}
        self._pass_share = 0.0
        self._tries = []

    def end(self) -> None:
        """Forgets the policy's files."""
        self._workspace = None

    def turn_budget(self, task: Task) -> int:
        """More turns at the levels that leave it open which line is wrong."""
        return _TURNS.get(task.level, self.max_turns)

    def tool_names(self) -> Sequence[str]:
        """The tools of the task's level."""
        return _TOOLS[self.task.level]

    @property
    def row(self) -> Row:
        """The current task's row of the table, the first of several."""
        return rows_in(self.task)[0]

    @property
    def workspace(self) -> Workspace:
        """The policy's files. Raises RuntimeError outside an episode."""
        if self._workspace is None:
            raise RuntimeError(
                "there is no workspace outside an episode: call reset() first"
            )
        return self._workspace

    @tool
    def apply(self, candidate: int) -> str:
        """Apply a candidate, once each, and run the tests."""
        row = self.row
        num_candidates = len(row.candidates)
        if not 1 <= candidate <= num_candidates:
            return f"no candidate {candidate}, choose 1 to {num_candidates}"
        if candidate in self._tries:
            return f"candidate {candidate} was tried"

        self._tries.append(candidate)
        lines = row.candidates[candidate - 1]
        self.workspace.text = row.with_lines(lines)
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
    def edit_file(self, path: str, line: int, text: str) -> str:
        """Replace one line of a file."""
        return self.workspace.edit(line, text, path)

    @tool
    def run_tests(self) -> str:
        """Run the tests."""
        space = self.workspace
        reach = self._new_reach()
        # No verdict yet: whoever meant no harm can still change the line.
        if reach:
            self._run_texts = {}
            self._pass_share = 0.0
            return refusal(reach)

        pool = self._sandboxes()
        runs: dict[str, SuiteRun] = {}
        for path, source in space.sources.items():
            text = space.texts[path]
            runs[path] = run_visible(pool, source, text)
        self._run_texts = dict(space.texts)
        return self._summary(runs)

    def _new_reach(self) -> Sequence[str]:
        """Ways to the tests that the first change with such ways brings in; empty if none does."""
        space = self.workspace
        for path, source in space.sources.items():
            reach = new_reach(source.text, space.texts[path])
            # The run itself says best what is wrong with text that does not parse.
            if reach and reach != [UNREADABLE]:
                return reach
        return []

    def _summary(self, runs: Mapping[str, SuiteRun]) -> str:
        """The reply to a run of the visible tests, by path; notes the share that passed."""
        task = self.task
        detailed = task.level > 0 and task.split != "ood/surface"
        num_tests = 0
        num_failures = 0
        lines: list[str] = []
        for path, run in runs.items():
            tests = self.workspace.sources[path].visible_ids
            failures = run.failures(tests)
            num_tests += len(tests)
            num_failures += len(failures)

            text = summary(run, tests, detailed)
            # With one module alone there is no need to say which.
            if task.level == REPOSITORY:
                text = f"{path}: {text}"
            lines.append(text)

        self._pass_share = 1 - num_failures / num_tests
        return "\n".join(lines)

    def checks(self) -> Mapping[str, float]:
        """The share of the visible tests that passed in the last run, 0 before one."""
        return {"passing": self._pass_share}

    @tool
    def submit(self) -> str | Verdict:
        """Finish."""
        space = self.workspace
        if space.texts == starting_texts(self.task, space):
            return "nothing changed yet"
        if space.texts != self._run_texts:
            return "run the tests first"
        return verdict_of(self._sandboxes(), self.task, space, space.texts)

    def agent_prompt(self) -> str:
        """See `FileTasks.agent_prompt`."""
        return agent_prompt(self.task, self.workspace)

    def files(self) -> Mapping[str, str]:
        """See `FileTasks.files`: the modules and their visible tests."""
        return self.workspace.files

    def editable(self) -> Sequence[str]:
        """See `FileTasks.editable`: the modules."""
        return list(self.workspace.sources)

    def grade_files(self, texts: Mapping[str, str]) -> Verdict:
        """See `FileTasks.grade_files`."""
        return verdict_of(self._sandboxes(), self.task, self.workspace, texts)

    def oracle(self, task: Task) -> list[str]:
        """The right change, a test run of it, and the submission."""
        calls = right_calls(task)
        # At level 0 the candidate is tested as it is applied.
        if task.level > 0:
            calls.append(render_call("run_tests"))
        calls.append(render_call("submit"))
        return calls

    def critical(self, task: Task) -> list[str]:
        """The right candidate's number, or the right lines, as the oracle writes them."""
        return critical_texts(task)

    def twin(self, task: Task) -> Task:
        """At level 0 the same task with its candidates moved round by one.

        Raises ValueError at other levels, where the right line stays right.
        """
        if task.level != 0:
            raise ValueError(
                f"only level 0 has twins, got a task of level {task.level}"
            )
        (row,) = rows_in(task)
        rotated = row.with_rotated_candidates()
        return task_of([rotated], task.split, level=0)

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
            calls = self._calls_at_level_0()
            index = int(rng.integers(len(calls)))
            return calls[index]

        name = str(rng.choice(self.tool_names()))
        arguments = self._random_arguments(name, rng)
        return render_call(name, **arguments)

    def _calls_at_level_0(self) -> list[str]:
        """The calls that are not refused now."""
        num_candidates = len(self.row.candidates)
        calls: list[str] = []
        for candidate in range(1, num_candidates + 1):
            if candidate not in self._tries:
                call = render_call("apply", candidate=candidate)
                calls.append(call)
        if self._tries:
            calls.append(render_call("submit"))
        return calls

    def _random_arguments(self, name: str, rng: np.random.Generator) -> dict[str, Any]:
        lines = self.workspace.text.split("\n")
        # Both are drawn for every tool, so that seeds give the turns that they always gave.
        place = int(rng.integers(len(lines)))
        target = int(rng.integers(len(lines))) + 1
        line = lines[place]
        path = self.workspace.source.file
        if name == "edit":
            return {"line": target, "text": line}
        if name == "grep":
            return {"text": line.strip()[:20]}
        if name == "edit_file":
            return {"path": path, "line": place + 1, "text": "pass"}
        if name != "read":
            return {}

        arguments: dict[str, Any] = {"line": place + 1}
        # A repository has no file that could be left out.
        if self.task.level == REPOSITORY:
            arguments["path"] = path
        return arguments

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, the policy's files, the last test run of them, tried candidates."""
        texts = None
        if self._workspace is not None:
            texts = dict(self._workspace.texts)
        return {
            **super().get_state(),
            "texts": texts,
            "tested": dict(self._run_texts),
            "passing": self._pass_share,
            "tried": list(self._tries),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with the policy's files as they were."""
        super().set_state(state)
        if state["texts"] is not None:
            self.workspace.texts = dict(state["texts"])
        self._run_texts = dict(state["tested"])
        self._pass_share = state["passing"]
        self._tries = list(state["tried"])

    def _sandboxes(self) -> SandboxPool:
        if self._pool is not None:
            return self._pool
        return default_pool()
