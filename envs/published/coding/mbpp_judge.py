"""Programs for MBPP+ against its calls: made in a sandbox, compared outside of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.code.observe import encode
from envs.code.testing import file_contents, in_sandbox, once_per_pool
from envs.code.witness import Answer, request
from envs.published.coding.mbpp_data import Problem, problems
from envs.published.coding.mbpp_values import ValueRules, value_of
from sandboxes.base import ExecResult, Sandbox, SandboxError, SandboxPool

__all__ = ["example_fault", "expected_values", "find_problem", "program_fault"]

DEADLINE_S, START_S = 60.0, 8.0
EXAMPLE_S = 4.0
BATCH_CHARS, BATCH_CALLS = 40_000, 40
"""Of expected values, and of calls, in one run: a sandbox keeps 64 KiB of what a run prints."""
SHOWN_CHARS = 200


def find_problem(name: str) -> Problem:
    """The problem of that name. Raises MissingDataError without the file."""
    return _by_name()[name]


@cache
def _by_name() -> dict[str, Problem]:
    return {problem.name: problem for problem in problems()}


@dataclass(frozen=True)
class Batch:
    """Calls that one run makes.

    | field | meaning |
    |---|---|
    | inputs | arguments of each call |
    | values | what the canonical solution gives, as `envs.code.observe` writes it |
    | seconds | how long the canonical solution took |
    """

    inputs: Sequence[Sequence[Any]]
    values: Sequence[Any]
    seconds: float

    @property
    def deadline_s(self) -> float:
        """Four times what the canonical solution took, as EvalPlus has it, and a start."""
        return min(DEADLINE_S, START_S + 4 * self.seconds)


def program_fault(pool: SandboxPool, problem: Problem, program: str) -> str:
    """What is wrong with a program by all calls of the problem; empty if every value is right.

    Raises SandboxError if two sandboxes broke, or the canonical solution gives nothing in one.
    """
    rules = ValueRules(problem.entry, problem.tolerance)
    number = 0
    for batch in expected_values(pool, problem.name):
        answer = _values(pool, problem.entry, program, batch.inputs, batch.deadline_s)
        if answer.timed_out:
            return "timed out"
        values = answer.value
        if not isinstance(values, list) or len(values) != len(batch.values):
            return "the run broke off, or gave too much"
        rows = zip(batch.inputs, batch.values, values, strict=True)
        for arguments, right, written in rows:
            number += 1
            if not rules.is_right(arguments, value_of(right), value_of(written)):
                return f"call {number} of {len(problem.inputs)} gives a wrong value"
    return ""


@once_per_pool
def expected_values(pool: SandboxPool, name: str) -> Sequence[Batch]:
    """What the canonical solution of a problem gives, in runs that a sandbox can print.

    Raises SandboxError if it gives nothing in the pool's sandboxes.
    """
    problem = find_problem(name)
    batches: list[Batch] = []
    for start in range(0, len(problem.inputs), BATCH_CALLS):
        batches += _batches(pool, problem, problem.inputs[start : start + BATCH_CALLS])
    for batch in batches:
        for value in batch.values:
            if isinstance(value, dict) and "raised" in value:
                raise SandboxError(f"the canonical solution of {name} gave {value}")
    return batches


def _batches(
    pool: SandboxPool,
    problem: Problem,
    inputs: Sequence[Sequence[Any]],
) -> Iterator[Batch]:
    """The canonical solution's values, in as few runs as size and time allow."""
    started = time.monotonic()
    answer = _values(pool, problem.entry, problem.solution, inputs, DEADLINE_S)
    seconds = time.monotonic() - started
    values = answer.value
    if values is not None and len(json.dumps(values)) <= BATCH_CHARS:
        yield Batch(inputs, values, seconds)
    elif len(inputs) > 1:
        middle = len(inputs) // 2
        yield from _batches(pool, problem, inputs[:middle])
        yield from _batches(pool, problem, inputs[middle:])
    else:
        raise SandboxError(
            f"the canonical solution of {problem.name} gave nothing in {DEADLINE_S:g} s"
        )


def _values(
    pool: SandboxPool,
    entry: str,
    program: str,
    inputs: Sequence[Sequence[Any]],
    timeout_s: float,
) -> Answer:
    calls = [[entry, encode(list(arguments))] for arguments in inputs]
    question = {"module": "solution", "calls": calls}
    files = {"solution.py": program}
    return in_sandbox(
        pool, lambda sandbox: request(sandbox, files, question, timeout_s)
    )


def example_fault(pool: SandboxPool, problem: Problem, program: str) -> str:
    """What is wrong by the assertion that the problem shows; empty if it holds. For the policy."""
    # By its name too: a star leaves out one that begins with an underscore.
    imports = (
        f"import math\nfrom solution import *\nfrom solution import {problem.entry}\n"
    )
    example = f"{imports}{problem.assertion}\n"
    files = file_contents({"solution.py": program, "example.py": example})

    def run(sandbox: Sandbox) -> ExecResult:
        """The assertion in a lease that is empty."""
        sandbox.write(files)
        return sandbox.run(["python", "example.py"], timeout_s=EXAMPLE_S)

    result = in_sandbox(pool, run)
    if result.timed_out:
        return f"{problem.assertion} timed out"
    if result.exit_code == 0:
        return ""
    errors = result.stderr.decode("utf-8", "replace").strip()
    reason = errors.rpartition("\n")[2] or "the program ended it"
    return f"{problem.assertion} fails: {reason[:SHOWN_CHARS]}"
