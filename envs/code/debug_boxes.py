"""What `code_debug` runs in boxes: expressions for the policy, and the assertions that judge it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from envs.code.boxes import in_box
from envs.code.debug_scripts import check_lines
from envs.code.fn_run import Run, equal_values, run_calls
from sandboxes.base import SandboxPool

__all__ = ["Judged", "evaluate", "judge"]

DEADLINE_S = 4.0
MOST_CHARS = 200
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
    """What a script's calls say of it: the shown assertion, and the share of the hidden ones."""

    def __init__(self, run: Run, shown: Sequence[str], hidden: Sequence[str]) -> None:
        wanted = [*shown, *hidden]
        values = run.values if len(run.values) == len(wanted) else ["!"] * len(wanted)
        held = [equal_values(one, other) for one, other in zip(values, wanted, strict=True)]
        self.shown = all(held[: len(shown)])
        self.hidden = sum(held[len(shown) :]) / len(hidden)
        self.timed_out = run.timed_out

    @property
    def passed(self) -> bool:
        """Every assertion holds, shown and hidden."""
        return self.shown and self.hidden == 1.0


def judge(pool: SandboxPool, payload: Mapping[str, Any], code: Sequence[str]) -> Judged:
    """The verdict on a script's code, in a sandbox that no policy touched.

    The script's calls are made there, and what they give is compared with the assertions' values
    here, so a script that forges an answer has to know it. Raises SandboxError where two sandboxes
    broke.
    """
    shown, hidden = (list(payload[kind]) for kind in ("visible", "hidden"))
    calls = [call for call, _ in (*shown, *hidden)]
    longest = 2 * max(len(value) for _, value in (*shown, *hidden)) + MOST_CHARS
    text = "\n".join(code) + "\n"
    run = run_calls(pool, text, calls, longest=longest, timeout_s=DEADLINE_S)
    return Judged(run, [value for _, value in shown], [value for _, value in hidden])


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
