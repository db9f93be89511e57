"""Calls a submitted function in a sandbox; what it should give never enters it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from envs.code.testing import file_contents, in_sandbox
from envs.plain import json_in_utf8
from sandboxes.base import Sandbox, SandboxPool

__all__ = ["Run", "run_calls"]

DEADLINE_S = 4.0
ERROR_CHARS = 100
_DRIVER = """
import json, os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.getcwd())
request = json.loads(sys.stdin.readline())
out = os.fdopen(os.dup(1), "w", buffering=1)
null = os.open(os.devnull, os.O_RDWR)
for stream in (0, 1, 2):
    os.dup2(null, stream)
def attempt(call, names):
    try:
        return repr(eval(call, names))[:request["chars"]]
    except BaseException as error:
        return "!" + f"{type(error).__name__}: {error}"[:request["error_chars"]]
names = {}
try:
    exec("from solution import *", names)
except BaseException as error:
    failed = "!" + f"{type(error).__name__}: {error}"[:request["error_chars"]]
    values = [failed for call in request["calls"]]
    out.write(json.dumps(values) + chr(10))
else:
    out.write(json.dumps([attempt(call, names) for call in request["calls"]]) + chr(10))
out.flush()
os._exit(0)
"""


@dataclass(frozen=True)
class Run:
    """What the calls gave.

    | field | meaning |
    |---|---|
    | values | `repr` of each call's value, or `!` and its error; none if it broke off |
    | timed_out | the deadline came first |
    """

    values: tuple[str, ...]
    timed_out: bool

    def failures(self, expected: Sequence[str]) -> list[int]:
        """Numbers of the calls that gave something else; all if nothing is known."""
        numbers = list(range(len(expected)))
        if len(self.values) != len(expected):
            return numbers
        return [number for number in numbers if self.values[number] != expected[number]]


def run_calls(
    pool: SandboxPool,
    code: str,
    calls: Sequence[str],
    *,
    longest: int,
    timeout_s: float = DEADLINE_S,
) -> Run:
    """Evaluates calls after `from solution import *`, in a sandbox of its own, wiped afterwards.

    No expected value enters the sandbox, so code that forges what it says must know the answer. A
    value longer than `longest` characters is truncated and so never right. A sandbox that breaks is
    replaced once. Raises SandboxError if the second one breaks too.
    """
    request = {
        "calls": list(calls),
        # One character more than `longest`, so that a truncated value differs from a right one.
        "chars": longest + 1,
        "error_chars": ERROR_CHARS,
    }
    line = json.dumps(request) + "\n"
    contents = file_contents({"solution.py": code})

    def run(sandbox: Sandbox) -> Run:
        """The calls in a lease that is empty."""
        sandbox.write(contents)
        result = sandbox.run(
            ["python", "-c", _DRIVER],
            timeout_s=timeout_s,
            stdin=line.encode(),
        )
        values = _values(result.stdout, len(calls))
        return Run(values, result.timed_out)

    return in_sandbox(pool, run)


def _values(output: bytes, count: int) -> tuple[str, ...]:
    """The values in what the sandbox printed; none if that is no such list."""
    try:
        # What a policy's code says must not make its episode an errored one.
        values = json_in_utf8(output.decode())
    except (ValueError, RecursionError):
        return ()
    if not isinstance(values, list) or len(values) != count:
        return ()
    if not all(isinstance(value, str) for value in values):
        return ()
    return tuple(values)
