"""AgentBench's operating-system tasks by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from envs.code.testing import default_pool, in_sandbox, once_per_pool
from envs.published.agentbench_os.rows import FILE, Row, is_right, rows
from envs.published.agentbench_os.shell import COMMAND_S, run_scripts
from envs.published.agentbench_os.usable import USABLE
from envs.published.questions import question_family
from envs.releases import PublishedFile
from envs.supply import split_of
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict
from sandboxes.base import ExecResult, Sandbox, SandboxError, SandboxPool

__all__ = ["AgentBenchOs", "expected_answer"]

SHOWN_CHARS = 800
OWNERS = ("train",) * 4 + ("id",)


class AgentBenchOs(ToolEnv):
    """Find out something about files with a shell (AgentBench, arXiv:2308.03688).

    | | |
    |---|---|
    | prompt | the question |
    | tools | `bash(command)`: what it prints, at most 800 characters; `answer(text)` |
    | verifier | what the authors' command prints in a sandbox of its own, by the authors' check: |
    | | the same integer, text or size |
    | limits | 8 turns; a command is killed after 5 s |
    | `train`, `id` | four and one of five families of the authors' training file: not their test |
    | size | 593 and 150 tasks, those of 1,000 whose files and command work in a sandbox |
    | family | the authors' command, without comments |
    | oracle | the authors' command, and what it printed |
    | twin, chance | none: answers are open |
    | source, licence | github.com/THUDM/AgentBench; Apache-2.0 |

    A turn's commands run in a fresh sandbox after those of the turns before, so no sandbox waits
    for a policy. `sandboxes` is the pool to lease from, else one that the process shares.
    """

    name = "agentbench_os"
    max_turns = 8
    instructions = (
        "Answer the question about files in your home folder on a Linux machine. One call a turn. "
        "An answer is the number, text or size alone."
    )

    def __init__(self, sandboxes: SandboxPool | None = None) -> None:
        super().__init__()
        self._pool = sandboxes
        self._commands: list[str] = []

    @classmethod
    def files(cls) -> Sequence[PublishedFile]:
        """What it reads."""
        return (FILE,)

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split. Raises MissingDataError without the file."""
        return _tasks(split)

    def begin(self, task: Task) -> None:
        """Nothing was done yet."""
        self._commands = []

    @tool
    def bash(self, command: str) -> str:
        """Run a command in your home folder and read what it prints."""
        row = rows()[self.task.payload["place"]]
        scripts = [row.init, *self._commands, command]

        def run(sandbox: Sandbox) -> ExecResult:
            """The last of the scripts, after all others."""
            return run_scripts(sandbox, scripts)[-1]

        result = in_sandbox(self._sandboxes(), run)
        # What never ends would take its time in each later turn as well.
        if not result.timed_out:
            self._commands.append(command)
        return _output_text(result)

    @tool
    def answer(self, text: str) -> Verdict:
        """Give the answer. The first one is final."""
        place = self.task.payload["place"]
        expected = expected_answer(self._sandboxes(), place)
        right = bool(is_right(rows()[place].check, expected, text))
        return Verdict(right, float(right), "right" if right else "wrong")

    def oracle(self, task: Task) -> list[str]:
        """The authors' command, and what it prints."""
        place = task.payload["place"]
        expected = expected_answer(self._sandboxes(), place)
        return [
            render_call("bash", command=rows()[place].example),
            render_call("answer", text=expected.strip()),
        ]

    def critical(self, task: Task) -> list[str]:
        """The answer."""
        expected = expected_answer(self._sandboxes(), task.payload["place"])
        written = json.dumps(expected.strip(), ensure_ascii=False)
        return [f'"text": {written}']

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, and the commands so far."""
        return {**super().get_state(), "commands": list(self._commands)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode; its commands run again with the next one."""
        super().set_state(state)
        self._commands = list(state["commands"])

    def _sandboxes(self) -> SandboxPool:
        return default_pool() if self._pool is None else self._pool


def expected_answer(pool: SandboxPool, place: int) -> str:
    """What the authors' command of a row prints, in a sandbox of its own.

    Raises SandboxError if it prints no answer there.
    """
    row = rows()[place]
    expected = _output(pool, json.dumps([row.init, row.example]))
    if is_right(row.check, expected, expected) is None:
        raise SandboxError(
            f"the command of agentbench_os {place} printed {expected!r:.100}"
        )
    return expected


@once_per_pool
def _output(pool: SandboxPool, scripts: str) -> str:
    """What the last of some scripts prints, after the others; they are given as a JSON list."""
    result = in_sandbox(
        pool, lambda sandbox: run_scripts(sandbox, json.loads(scripts))[-1]
    )
    return result.stdout.decode("utf-8", "replace")


def _output_text(result: ExecResult) -> str:
    """What a command printed, errors last; its end is left out if it is long."""
    output = (result.stdout + result.stderr).decode("utf-8", "replace").strip()
    if len(output) > SHOWN_CHARS:
        output = f"{output[:SHOWN_CHARS]} [truncated because the output is too long]"
    if result.timed_out:
        output += f"\nkilled after {COMMAND_S:.0f} s"
    return output.strip() or "nothing was printed"


@cache
def _tasks(split: str) -> Sequence[Task]:
    """The usable rows whose family belongs to the split, in the order of the file."""
    tasks: list[Task] = []
    for place in USABLE:
        row = rows()[place]
        family = question_family(row.command)
        if split_of(family, OWNERS) == split:
            tasks.append(_task(row, place, split, family))
    return tasks


def _task(row: Row, place: int, split: str, family: str) -> Task:
    return Task(
        id=f"{split}/0/{place}",
        split=split,
        level=0,
        family=family,
        prompt=row.question,
        payload={"place": place},
    )
