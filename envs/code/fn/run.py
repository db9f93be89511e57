"""Calls a submitted function in a box; what it should give is known outside alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from envs.code.testing import in_sandbox
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
    | values | `repr` of each call's value, or `!` and its error; none where it broke off |
    | timed_out | the deadline came first |
    """

    values: tuple[str, ...]
    timed_out: bool

    def failures(self, wanted: Sequence[str]) -> list[int]:
        """Which calls gave something else, all where nothing is known."""
        got = self.values if len(self.values) == len(wanted) else ("!",) * len(wanted)
        return [
            i
            for i, (one, right) in enumerate(zip(got, wanted, strict=True))
            if one != right
        ]


def run_calls(
    pool: SandboxPool,
    code: str,
    calls: Sequence[str],
    *,
    longest: int,
    timeout_s: float = DEADLINE_S,
) -> Run:
    """Evaluates the calls after `from solution import *`, in a box of its own, wiped afterwards.

    No value that is wanted enters the box, so code that forges what it says must know the answer. A
    value longer than `longest` characters is cut and so never right. A box that breaks is replaced
    once. Raises SandboxError where the second one breaks too.
    """
    request = {"calls": list(calls), "chars": longest + 1, "error_chars": ERROR_CHARS}
    said = json.dumps(request).encode() + b"\n"

    def run(box: Sandbox) -> Run:
        box.write({"solution.py": code.encode(errors="surrogatepass")})
        done = box.run(["python", "-c", _DRIVER], timeout_s=timeout_s, stdin=said)
        return Run(_read(done.stdout, len(calls)), done.timed_out)

    return in_sandbox(pool, run)


def _read(said: bytes, count: int) -> tuple[str, ...]:
    """The values in what the box printed; none where that is no such list."""
    try:
        values = json.loads(said.decode())
    except (ValueError, RecursionError):
        return ()
    fits = isinstance(values, list) and len(values) == count
    return tuple(values) if fits and all(isinstance(one, str) for one in values) else ()
