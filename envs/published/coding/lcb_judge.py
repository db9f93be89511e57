"""Programs for LiveCodeBench against tests: run in a sandbox, compared outside of it.

What a test expects never enters a sandbox. The rules are those of LiveCodeBench's own harness.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from envs.code.testing import file_contents, in_sandbox
from envs.plain import json_in_utf8
from envs.published.coding.lcb_data import Problem, Test
from sandboxes.base import Sandbox, SandboxPool

__all__ = ["example_fault", "same_output", "program_fault"]

TEST_S = 6.0
"""For each test, as in LiveCodeBench's harness."""
SHOWN_CHARS = 300
_INSIDE = Path(__file__).with_name("lcb_inside.py").read_text("ascii")


def program_fault(
    pool: SandboxPool,
    problem: Problem,
    tests: Sequence[Test],
    program: str,
) -> str:
    """What is wrong with a program by the first test that it fails; empty if it passes all.

    Raises SandboxError if two sandboxes broke.
    """
    failure = _first_failure(pool, problem, tests, program)
    if failure is None:
        return ""
    number, reason, _ = failure
    return f"test {number} of {len(tests)}: {reason}"


def example_fault(pool: SandboxPool, problem: Problem, program: str) -> str:
    """What is wrong by the tests that the statement shows, with that test. For the policy.

    Empty if it passes them. Raises SandboxError if two sandboxes broke.
    """
    failure = _first_failure(pool, problem, problem.public, program)
    if failure is None:
        return ""
    number, reason, output = failure
    test = problem.public[number - 1]
    lines = [
        f"example {number}: {reason}",
        f"Input:\n{_short(test.input)}",
        f"Expected:\n{_short(test.output)}",
    ]
    if output:
        lines.append(f"Got:\n{_short(output)}")
    return "\n".join(lines)


def _first_failure(
    pool: SandboxPool,
    problem: Problem,
    tests: Sequence[Test],
    program: str,
) -> tuple[int, str, str] | None:
    """Number, reason and output of the first test that fails; None if all pass."""
    contents = file_contents({"solution.py": program})

    def run(sandbox: Sandbox) -> tuple[int, str, str] | None:
        """The tests one after another, in a lease that is empty."""
        for number, test in enumerate(tests, start=1):
            # Again: a program may change its own file.
            sandbox.write(contents)
            reason, output = _outcome(sandbox, problem, test)
            if reason:
                return number, reason, output
        return None

    return in_sandbox(pool, run)


def _outcome(sandbox: Sandbox, problem: Problem, test: Test) -> tuple[str, str]:
    """Why a test fails, empty if it passes, and what was given."""
    command = ["python", "-c", _INSIDE]
    given = test.input
    if problem.function:
        command.append(problem.function)
        given = f"[{', '.join(test.input.splitlines())}]"
    result = sandbox.run(command, timeout_s=TEST_S, stdin=given.encode())
    if result.timed_out:
        return f"no answer in {TEST_S:g} s", ""
    if result.exit_code != 0:
        errors = result.stderr.decode("utf-8", "replace").strip()
        return errors.rpartition("\n")[2] or "it ended itself", ""

    try:
        output = sandbox.read("output").decode("utf-8", "replace")
    except FileNotFoundError:
        return "its output is gone", ""
    if problem.function:
        is_right = _is_value(test.output, output)
    else:
        is_right = same_output(test.output, output)
    return ("" if is_right else "wrong answer"), output


def _is_value(expected: str, written: str) -> bool:
    """Whether what `lcb_inside.py` wrote is the expected JSON value."""
    try:
        value = json_in_utf8(written)
    except (ValueError, RecursionError):
        return False
    return bool(_plain(value) == json.loads(expected))


def _plain(value: Any) -> Any:
    """The value that `lcb_inside.plain_json` wrote; with tuples, which equal no list."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind == "dict" and isinstance(inner, list):
        pairs = [_plain(pair) for pair in inner]
        keys = [pair[0] for pair in pairs if isinstance(pair, list) and len(pair) == 2]
        if len(keys) == len(pairs) and all(isinstance(key, str) for key in keys):
            return dict(pairs)
    return (kind, inner)


def same_output(expected: str, output: str) -> bool:
    """Whether two outputs are equal line by line: as texts without space around, or as decimals."""
    expected_lines = _lines(expected)
    lines = _lines(output)
    if len(lines) != len(expected_lines):
        return False
    return all(map(_same_line, expected_lines, lines))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(expected: str, line: str) -> bool:
    if expected == line:
        return True
    try:
        return _decimals(expected) == _decimals(line)
    except InvalidOperation:
        return False


def _decimals(line: str) -> list[Decimal]:
    """The numbers of a line. Raises InvalidOperation for other text."""
    return [Decimal(word) for word in line.split()]


def _short(text: str) -> str:
    """A text of at most 300 characters, its middle left out."""
    text = text.strip()
    if len(text) <= SHOWN_CHARS:
        return text
    half = SHOWN_CHARS // 2
    return f"{text[:half]} ... {text[-half:]}"
