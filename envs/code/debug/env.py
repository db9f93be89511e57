"""Debugging small scripts: an assertion fails, look into the state, repair the line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.code.debug.sandbox import Judgement, evaluate, judge
from envs.code.debug.scripts import candidates, lines_with_bugs, tasks_of, twin_of
from envs.code.testing import default_pool
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict
from sandboxes.base import SandboxPool

__all__ = ["CodeDebug"]

MAX_LINE_CHARS = 200


class CodeDebug(ToolEnv):
    """A script's assertion fails because a line is wrong; find it and repair it.

    | | |
    |---|---|
    | prompt | the numbered script, which ends in the assertion, and what comes out instead |
    | tools | `eval(expression)` in the script's state; `fix(line, text)`, at level 0 `pick(line)` |
    | reply | the expression's value or error; after a fix that the assertion still fails, what |
    | | comes out |
    | verifier | the assertion again, and 13 hidden ones for each function, in a sandbox that |
    | | no policy has touched, against the lines above the assertion; the assertions are |
    | | the grader's |
    | end | the first fix with which the shown assertion holds is judged; so is the first pick |
    | parts | `shown`: whether the shown assertion holds; `hidden`: the share of the others |
    | limits | 10 turns; a run is killed after 4 s |
    | level 0 | one function and three changes to different lines, one is right |
    | level 1 | one function, the prompt names the line |
    | level 2 | one function |
    | level 3 | three functions, one bug; one assertion about all of them |
    | level 4 | 11 functions in about 90 lines, two bugs |
    | `train`, `id` | different functions, bugs drawn alike |
    | `ood/difficulty` | 2, 2, 2, 5 and 16 functions, by level, with 1, 2, 2, 2 and 3 bugs |
    | `ood/composition` | bugs by operators that training never uses: other methods, functions, |
    | | exceptions and slices |
    | size | 2,000 tasks of `train` and 300 of every other split, at each level |
    | family | the functions with their constants. Every split has its own |
    | bugs | one-line changes by the operators of `mutate.py`, each failing the shown assertion |
    | | and at least two hidden ones; code that does not end is left out |
    | oracle | the right lines |
    | twin | the bug in another line, failing the same assertion |
    | chance | at level 0, a uniform one of the changes: 1/3 |
    | source, licence | 52 function templates written here; Apache-2.0 |

    `sandboxes` is the pool to lease from, else one that the process shares.
    """

    name = "code_debug"
    splits = ("train", "id", "ood/difficulty", "ood/composition")
    levels = (0, 1, 2, 3, 4)
    max_turns = 10
    instructions = (
        "Make the assertion hold. Reply with one call, such as "
        '{"name": "eval", "arguments": {"expression": "1 + 1"}}'
    )

    def __init__(self, sandboxes: SandboxPool | None = None) -> None:
        super().__init__()
        self._pool = sandboxes
        self._lines: list[str] = []

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level, in the order in which they are drawn."""
        return tasks_of(split, level)

    def begin(self, task: Task) -> None:
        """The policy's copy of the code is the broken one."""
        self._lines = lines_with_bugs(task.payload)

    def tool_names(self) -> Sequence[str]:
        """`eval`, and `pick` or `fix`."""
        change = "pick" if self.task.level == 0 else "fix"
        return ("eval", change)

    @tool
    def eval(self, expression: str) -> str:
        """Evaluate an expression in the script's state."""
        return evaluate(
            self._sandboxes(),
            self.task.payload,
            self._lines,
            expression,
        )

    @tool
    def pick(self, line: int) -> str | Verdict:
        """Make the change to that line; final."""
        choices = candidates(self.task.payload)
        if line not in choices:
            numbers = ", ".join(map(str, choices))
            return f"no change to line {line}, choose from {numbers}"
        self._lines[line - 1] = choices[line]
        judgement = self._judgement()
        return _verdict(judgement)

    @tool
    def fix(self, line: int, text: str) -> str | Verdict:
        """Replace a line."""
        count = len(self._lines)
        if not 1 <= line <= count:
            return f"line {line} cannot be changed, 1 to {count} can"
        text = text.rstrip("\n")
        if not _is_line(text):
            return f"give one line of up to {MAX_LINE_CHARS} characters"

        # Indentation may be left out: a script's line keeps its block.
        if not text.startswith((" ", "\t")):
            text = _indentation(self._lines[line - 1]) + text
        # A new list: a snapshot may hold the old one.
        lines = list(self._lines)
        lines[line - 1] = text
        self._lines = lines

        judgement = self._judgement()
        if judgement.shown:
            return _verdict(judgement)
        outcome = self._outcome(judgement)
        return f"line {line} replaced, {outcome}"

    def oracle(self, task: Task) -> list[str]:
        """The right lines, one after the other."""
        if task.level == 0:
            number, _ = _right(task)[0]
            return [render_call("pick", line=number)]
        turns: list[str] = []
        for number, text in _right(task):
            turns.append(render_call("fix", line=number, text=text))
        return turns

    def critical(self, task: Task) -> list[str]:
        """The right change's line at level 0, else the right lines, as the oracle writes them."""
        if task.level == 0:
            number, _ = _right(task)[0]
            return [f'"line": {number}']
        spans: list[str] = []
        for number, text in _right(task):
            written = json.dumps(text, ensure_ascii=False)
            spans.append(f'"line": {number}, "text": {written}')
        return spans

    def twin(self, task: Task) -> Task:
        """The same script with its first bug in another line."""
        return twin_of(task)

    def chance(self, level: int) -> float:
        """Success rate of `random_turn`: one of three changes at level 0, about 0 above."""
        return 1 / 3 if level == 0 else 0.0

    def random_turn(self, rng: np.random.Generator) -> str:
        """A uniform change at level 0; else a line put in another's place, or a look at a call."""
        if self.task.level == 0:
            choices = list(candidates(self.task.payload))
            index = int(rng.integers(len(choices)))
            return render_call("pick", line=choices[index])
        if rng.integers(2):
            visible = self.task.payload["visible"]
            index = int(rng.integers(len(visible)))
            call, _ = visible[index]
            return render_call("eval", expression=call)

        count = len(self._lines)
        place, source = map(int, rng.integers(count, size=2))
        return render_call(
            "fix",
            line=place + 1,
            text=self._lines[source].strip(),
        )

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot and the policy's copy of the code."""
        state = super().get_state()
        return {**state, "lines": list(self._lines)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with the code as it was."""
        super().set_state(state)
        self._lines = list(state["lines"])

    def _outcome(self, judgement: Judgement) -> str:
        """What the shown assertion still meets."""
        if judgement.timed_out:
            return "the script does not end"
        visible = self.task.payload["visible"]
        expression = "results"
        # A single call stands in the assertion itself.
        if len(visible) == 1:
            ((expression, _),) = visible
        value = self.eval(expression)
        return f"{expression} gives {value}"

    def _judgement(self) -> Judgement:
        """What the assertions say of the policy's copy of the code."""
        return judge(self._sandboxes(), self.task.payload, self._lines)

    def _sandboxes(self) -> SandboxPool:
        return default_pool() if self._pool is None else self._pool


def _right(task: Task) -> list[tuple[int, str]]:
    """Number and right text of each wrong line."""
    lines = task.payload["right"]
    numbered: list[tuple[int, str]] = []
    for number, _, _ in task.payload["bugs"]:
        text = lines[number - 1].strip()
        numbered.append((number, text))
    return numbered


def _is_line(text: str) -> bool:
    """Whether a policy's text can be one line of a script."""
    if "\n" in text or "\r" in text:
        return False
    return len(text) <= MAX_LINE_CHARS


def _indentation(line: str) -> str:
    """The white space that a line begins with."""
    width = len(line) - len(line.lstrip())
    return line[:width]


def _verdict(judgement: Judgement) -> Verdict:
    parts = {
        "shown": float(judgement.shown),
        "hidden": judgement.hidden,
    }
    if judgement.passed:
        return Verdict(True, 1.0, "all assertions hold", parts)
    detail = "other assertions fail" if judgement.shown else "the assertion fails"
    return Verdict(False, 0.0, detail, parts)
