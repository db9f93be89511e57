"""HumanEval's checks, in another process than the code that they judge.

A check makes calls whose arguments do not depend on what the calls give. So the calls are recorded
once with the canonical solution; a submission makes them in a process that holds no assertion; and
the check runs on the values that came out, in a process that holds no submission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.code.fn.human_eval import Problem, problems
from envs.code.testing import in_sandbox, once_per_pool
from envs.code.witness import request
from sandboxes.base import SandboxError, SandboxPool

__all__ = ["Calls", "calls_of_check", "check_fault"]

DEADLINE_S = 4.0


@dataclass(frozen=True)
class Calls:
    """The calls of a check.

    | field | meaning |
    |---|---|
    | arguments | of each call, a list as `observe.encode` writes it |
    | values | what the canonical solution gave |
    """

    arguments: list[Any]
    values: list[Any]


def check_fault(pool: SandboxPool, problem: Problem, code: str) -> str:
    """What is wrong with a submission by the problem's check; empty if it holds.

    Raises SandboxError if two sandboxes broke, or the canonical solution does not hold in one.
    """
    recorded = calls_of_check(pool, problem.name)
    calls = [[problem.entry, arguments] for arguments in recorded.arguments]
    question = {"module": "solution", "calls": calls}
    values = _ask(pool, {"solution.py": code}, question)
    if not isinstance(values, list) or len(values) != len(calls):
        return "the run broke off, took too long, or gave too much"
    # Nothing to check: the canonical solution's values hold.
    if values == recorded.values:
        return ""

    check = {
        "entry": problem.entry,
        "check": problem.check(),
        "values": values,
    }
    verdict = _ask(pool, {}, check)
    return "" if _holds(verdict) else "the check fails"


@once_per_pool
def calls_of_check(pool: SandboxPool, name: str) -> Calls:
    """The calls of the check of the problem with that name.

    Raises SandboxError if the canonical solution does not pass it.
    """
    problem = problems()[name]
    solution = problem.prompt + problem.body
    check = {
        "module": "solution",
        "entry": problem.entry,
        "check": problem.check(),
    }
    answer = _ask(pool, {"solution.py": solution}, check)
    if not _holds(answer):
        raise SandboxError(f"the canonical solution of {name} gave {answer!r:.100}")
    return Calls(
        arguments=answer["arguments"],
        values=answer["values"],
    )


def _ask(
    pool: SandboxPool,
    files: Mapping[str, str],
    question: Mapping[str, Any],
) -> Any:
    """The answer of `observe.py` in a sandbox of its own; None if there is none."""
    answer = in_sandbox(
        pool,
        lambda sandbox: request(sandbox, files, question, DEADLINE_S),
    )
    return answer.value


def _holds(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("passed") is True
