"""Programs for MBPP+ against its calls: made in a sandbox, compared outside of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from envs.code.observe import encode
from envs.code.testing import file_contents, in_sandbox, once_per_pool
from envs.code.witness import Answer, request
from envs.published.coding.mbpp_data import Problem, problems
from envs.published.coding.mbpp_values import ValueRules, value_of
from sandboxes.base import ExecResult, Sandbox, SandboxError, SandboxPool

__all__ = ["example_fault", "expected_values", "problem_named", "program_fault"]

DEADLINE_S = 60.0
EXAMPLE_S = 4.0
BATCH_CHARS, BATCH_CALLS = 30_000, 40
"""Of expected values, and of calls, in one run: a sandbox keeps 64 KiB of what a run prints."""
SHOWN_CHARS = 200


def problem_named(name: str) -> Problem:
    """The problem of that name. Raises MissingDataError without the file."""
    return _by_name()[name]


@cache
def _by_name() -> dict[str, Problem]:
    return {problem.name: problem for problem in problems()}


def program_fault(pool: SandboxPool, problem: Problem, program: str) -> str:
    """What is wrong with a program by all calls of the problem; empty if every value is right.

    Raises SandboxError if two sandboxes broke, or the canonical solution gives nothing in one.
    """
    expected = expected_values(pool, problem.name)
    rules = ValueRules(problem.entry, problem.tolerance)
    count = len(problem.inputs)
    for start, stop in _batches(expected):
        inputs = problem.inputs[start:stop]
        answer = _values(pool, problem.entry, program, inputs)
        if answer.timed_out:
            return "timed out"
        if not isinstance(answer.value, list) or len(answer.value) != len(inputs):
            return "the run broke off, or gave too much"
        rows = zip(inputs, expected[start:stop], answer.value, strict=True)
        for number, (arguments, right, written) in enumerate(rows, start + 1):
            if not rules.is_right(arguments, value_of(right), value_of(written)):
                return f"call {number} of {count} gives a wrong value"
    return ""


@once_per_pool
def expected_values(pool: SandboxPool, name: str) -> Sequence[Any]:
    """What the canonical solution of a problem gives, as `envs.code.observe` writes it.

    Raises SandboxError if it gives nothing in the pool's sandboxes.
    """
    problem = problem_named(name)
    values: list[Any] = []
    for start in range(0, len(problem.inputs), BATCH_CALLS):
        inputs = problem.inputs[start : start + BATCH_CALLS]
        values += _expected(pool, problem, inputs)
    broken = [
        value for value in values if isinstance(value, dict) and "raised" in value
    ]
    if broken:
        raise SandboxError(f"the canonical solution of {name} gave {broken[0]!r:.100}")
    return values


def _expected(
    pool: SandboxPool,
    problem: Problem,
    inputs: Sequence[Sequence[Any]],
) -> Iterator[Any]:
    """The canonical solution's values, in as few runs as their size allows."""
    answer = _values(pool, problem.entry, problem.solution, inputs)
    if answer.value is not None:
        yield from answer.value
    elif len(inputs) > 1 and not answer.timed_out:
        middle = len(inputs) // 2
        yield from _expected(pool, problem, inputs[:middle])
        yield from _expected(pool, problem, inputs[middle:])
    else:
        raise SandboxError(
            f"the canonical solution of {problem.name} gave nothing in {DEADLINE_S:g} s"
        )


def _batches(values: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Where each run begins and ends, by the size of its values and their number."""
    start = size = 0
    for place, value in enumerate(values):
        length = len(repr(value))
        is_full = place - start == BATCH_CALLS or size + length > BATCH_CHARS
        if place > start and is_full:
            yield start, place
            start, size = place, 0
        size += length
    if start < len(values):
        yield start, len(values)


def _values(
    pool: SandboxPool,
    entry: str,
    program: str,
    inputs: Sequence[Sequence[Any]],
) -> Answer:
    calls = [[entry, encode(list(arguments))] for arguments in inputs]
    question = {"module": "solution", "calls": calls}
    files = {"solution.py": program}
    return in_sandbox(
        pool, lambda sandbox: request(sandbox, files, question, DEADLINE_S)
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
