"""What `code_debug` runs in boxes: expressions for the policy, and the assertions that judge it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from envs.code.debug.scripts import check_lines
from envs.code.observe import encode
from envs.code.testing import in_sandbox
from envs.code.values import same
from envs.code.witness import request
from envs.parsing import literal, parse
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


@dataclass(frozen=True)
class Judged:
    """What a script's calls say of it.

    | field | meaning |
    |---|---|
    | shown | the shown assertion holds |
    | hidden | share of the hidden assertions that hold |
    | timed_out | the deadline came first |
    """

    shown: bool
    hidden: float
    timed_out: bool

    @property
    def passed(self) -> bool:
        """Every assertion holds, shown and hidden."""
        return self.shown and self.hidden == 1.0


def judge(pool: SandboxPool, payload: Mapping[str, Any], code: Sequence[str]) -> Judged:
    """The verdict on a script's code, in a sandbox that no policy touched.

    The assertions' calls are made there, and what they give is compared with the assertions' values
    here, so a script that forges an answer has to know it. Raises SandboxError where two sandboxes
    broke.
    """
    shown = len(payload["visible"])
    pairs = [*payload["visible"], *payload["hidden"]]
    files = {"script.py": "\n".join(code) + "\n"}
    asked = {"module": "script", "calls": [_parsed(call) for call, _ in pairs]}
    answer = in_sandbox(pool, lambda box: request(box, files, asked, DEADLINE_S))
    given = answer.value
    if not isinstance(given, list) or len(given) != len(pairs):
        return Judged(shown=False, hidden=0.0, timed_out=answer.timed_out)
    held = [
        same(encode(literal(value)), one)
        for (_, value), one in zip(pairs, given, strict=True)
    ]
    return Judged(all(held[:shown]), fmean(held[shown:]), timed_out=False)


def _parsed(call: str) -> list[Any]:
    """Name and arguments of an assertion's call, all of them literals."""
    node = parse(call, "eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    return [node.func.id, encode([ast.literal_eval(one) for one in node.args])]


def evaluate(
    pool: SandboxPool, payload: Mapping[str, Any], code: Sequence[str], expression: str
) -> str:
    """What an expression gives after the script, up to its assertion, has run in a box."""
    script = ["\n".join(code) + "\n", "\n".join(check_lines(payload)[:-1])]
    request = json.dumps({"script": script, "expression": expression}).encode() + b"\n"
    command = ["python", "-c", _EVALUATE]
    done = in_sandbox(
        pool, lambda box: box.run(command, timeout_s=DEADLINE_S, stdin=request)
    )
    if done.timed_out:
        return "timed out"
    lines = done.stdout.decode(errors="replace").splitlines()
    text = lines[-1] if lines else "the run broke off"
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]}..."
