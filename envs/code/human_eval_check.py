"""HumanEval's checks, in another process than the code that they judge.

A check makes calls whose arguments do not depend on what the calls give. So the calls are recorded
once with the canonical solution; a submission makes them in a process that holds no assertion; and
the check runs on the values that came out, in a process that holds no submission.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.code.boxes import in_box
from envs.code.human_eval import Problem
from envs.code.witness import request
from sandboxes.base import SandboxError, SandboxPool

__all__ = ["check_fault"]

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


_RECORDED: dict[str, Calls] = {}


@cache
def _lock(problem: str) -> threading.Lock:
    return threading.Lock()


def check_fault(pool: SandboxPool, problem: Problem, code: str) -> str:
    """What is wrong with a submission by the problem's check; empty where it holds.

    Raises SandboxError where two sandboxes broke, or the canonical solution does not hold in one.
    """
    calls = _recorded(pool, problem)
    asked = {"module": "solution", "entry": problem.entry, "arguments": calls.arguments}
    values = in_box(pool, lambda box: request(box, {"solution.py": code}, asked, DEADLINE_S))
    if not isinstance(values, list) or len(values) != len(calls.arguments):
        return "the run broke off, took too long, or gave too much"
    if values == calls.values:
        return ""
    check = {"entry": problem.entry, "check": problem.check(), "values": values}
    verdict = in_box(pool, lambda box: request(box, {}, check, DEADLINE_S))
    return "" if _holds(verdict) else "the check fails"


def _recorded(pool: SandboxPool, problem: Problem) -> Calls:
    """The calls of a problem's check; recorded once in a process."""
    with _lock(problem.name):
        if problem.name not in _RECORDED:
            files = {"solution.py": problem.prompt + problem.body}
            asked = {"module": "solution", "entry": problem.entry, "check": problem.check()}
            answer = in_box(pool, lambda box: request(box, files, asked, DEADLINE_S))
            if not _holds(answer):
                raise SandboxError(f"the canonical solution of {problem.name} gave {answer!r:.100}")
            _RECORDED[problem.name] = Calls(answer["arguments"], answer["values"])
        return _RECORDED[problem.name]


def _holds(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("passed") is True
