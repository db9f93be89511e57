"""What `code_debug` runs in boxes: expressions for the policy, and the assertions that judge it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from envs.code.boxes import in_box
from envs.code.debug_scripts import check_lines
from envs.code.suite import SuiteRun, run_suite
from envs.code.vet import new_reach
from sandboxes.base import SandboxPool

__all__ = ["Judged", "evaluate", "judge"]

DEADLINE_S = 4.0
MOST_CHARS = 200
_TESTS = "test_script"
_EVALUATE = """
import json, sys
request = json.loads(sys.stdin.readline())
space, problem = {"__name__": "script"}, ""
for text in request["script"]:
    try:
        exec(compile(text, "script", "exec"), space)
    except BaseException as error:
        trace = error.__traceback__
        while trace.tb_next:
            trace = trace.tb_next
        problem = f"the script raises {type(error).__name__} in line {trace.tb_lineno}: {error}"
        break
try:
    found = repr(eval(request["expression"], space))
except BaseException as error:
    missing = isinstance(error, NameError)
    found = problem if missing and problem else f"{type(error).__name__}: {error}"
print(found[:1000])
"""


class Judged:
    """What a run said of a script: the shown assertion, and the share of the hidden ones."""

    def __init__(self, run: SuiteRun, shown: Sequence[str], hidden: Sequence[str]) -> None:
        self.shown = not run.failed(shown)
        self.hidden = 1 - len(run.failed(hidden)) / len(hidden)
        self.timed_out = run.timed_out

    @property
    def passed(self) -> bool:
        """Every assertion holds, shown and hidden."""
        return self.shown and self.hidden == 1.0


def judge(pool: SandboxPool, payload: Mapping[str, Any], code: Sequence[str]) -> Judged | str:
    """The verdict on a script's code; why it is refused, where it reaches for the tests.

    The assertions are the task's own, in a file of the grader's, in a box that no policy touched;
    only a line with the run's nonce counts (see `suite`). Raises SandboxError where two
    boxes broke.
    """
    text = "\n".join(code) + "\n"
    if reach := new_reach("\n".join(payload["right"]), text):
        return f"refused: {', '.join(reach)[:MOST_CHARS]}"
    shown, hidden = (list(payload[kind]) for kind in ("visible", "hidden"))
    named = {f"test_{number:03}": pair for number, pair in enumerate([*shown, *hidden])}
    tests = ["import unittest", "import script", "", "class Check(unittest.TestCase):"]
    for name, (call, value) in named.items():
        tests += [f"    def {name}(self):", f"        self.assertEqual(script.{call}, {value})"]
    files = {"script.py": text, f"{_TESTS}.py": "\n".join(tests) + "\n"}
    run = run_suite(pool, files, _TESTS, timeout_s=DEADLINE_S)
    ids = [f"Check.{name}" for name in named]
    return Judged(run, ids[: len(shown)], ids[len(shown) :])


def evaluate(
    pool: SandboxPool, payload: Mapping[str, Any], code: Sequence[str], expression: str
) -> str:
    """What an expression gives after the script, up to its assertion, has run in a box."""
    script = ["\n".join(code) + "\n", "\n".join(check_lines(payload)[:-1])]
    request = json.dumps({"script": script, "expression": expression}).encode() + b"\n"
    command = ["python", "-c", _EVALUATE]
    done = in_box(pool, lambda box: box.run(command, timeout_s=DEADLINE_S, stdin=request))
    if done.timed_out:
        return "timed out"
    lines = done.stdout.decode(errors="replace").splitlines()
    text = lines[-1] if lines else "the run broke off"
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]}..."
