"""HumanEval's checks, in another process than the code that they judge.

A check makes calls whose arguments do not depend on what the calls give. So the calls are recorded
once with the canonical solution; a submission makes them in a process that holds no assertion; and
the check runs on the values that came out, in a process that holds no submission.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envs.code.fn.human_eval import Problem, problems
from envs.code.testing import in_sandbox, once_per_pool
from envs.code.witness import request
from sandboxes.base import SandboxError, SandboxPool

__all__ = ["Calls", "check_fault", "calls_of_check"]

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
    """What is wrong with a submission by the problem's check; empty where it holds.

    Raises SandboxError where two sandboxes broke, or the canonical solution does not hold in one.
    """
    calls = calls_of_check(pool, problem.name)
    made = [[problem.entry, arguments] for arguments in calls.arguments]
    asked = {"module": "solution", "calls": made}
    values = in_sandbox(
        pool, lambda box: request(box, {"solution.py": code}, asked, DEADLINE_S)
    ).value
    if not isinstance(values, list) or len(values) != len(calls.arguments):
        return "the run broke off, took too long, or gave too much"
    if values == calls.values:
        return ""
    check = {"entry": problem.entry, "check": problem.check(), "values": values}
    verdict = in_sandbox(pool, lambda box: request(box, {}, check, DEADLINE_S)).value
    return "" if _holds(verdict) else "the check fails"


@once_per_pool
def calls_of_check(pool: SandboxPool, name: str) -> Calls:
    """The calls of the check of the problem with that name."""
    problem = problems()[name]
    files = {"solution.py": problem.prompt + problem.body}
    asked = {"module": "solution", "entry": problem.entry, "check": problem.check()}
    answer = in_sandbox(pool, lambda box: request(box, files, asked, DEADLINE_S)).value
    if not _holds(answer):
        raise SandboxError(f"the canonical solution of {name} gave {answer!r:.100}")
    return Calls(answer["arguments"], answer["values"])


def _holds(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("passed") is True
