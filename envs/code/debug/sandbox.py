"""What `code_debug` runs in sandboxes: a policy's expressions, and the assertions that judge it."""

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

__all__ = ["Judgement", "evaluate", "judge"]

DEADLINE_S = 4.0
MAX_CHARS = 200
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
    value = repr(eval(request["expression"], space))
except BaseException as error:
    missing = isinstance(error, NameError)
    value = problem if missing and problem else f"{type(error).__name__}: {error}"
print(value[:1000])
"""


@dataclass(frozen=True)
class Judgement:
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


def judge(
    pool: SandboxPool, payload: Mapping[str, Any], code: Sequence[str]
) -> Judgement:
    """The judgement on a script's code, in a sandbox that no policy touched.

    The assertions' calls are made there, and what they give is compared with the assertions' values
    here, so a script that forges an answer has to know it. Raises SandboxError if two sandboxes
    broke.
    """
    pairs = [*payload["visible"], *payload["hidden"]]
    files = {"script.py": "\n".join(code) + "\n"}
    calls = [_name_and_arguments(call) for call, _ in pairs]
    question = {"module": "script", "calls": calls}
    answer = in_sandbox(
        pool, lambda sandbox: request(sandbox, files, question, DEADLINE_S)
    )
    values = answer.value
    if not isinstance(values, list) or len(values) != len(pairs):
        return Judgement(shown=False, hidden=0.0, timed_out=answer.timed_out)

    holds: list[bool] = []
    for (_, expected), value in zip(pairs, values, strict=True):
        holds.append(same(encode(literal(expected)), value))
    shown = len(payload["visible"])
    return Judgement(all(holds[:shown]), fmean(holds[shown:]), timed_out=False)


def _name_and_arguments(call: str) -> list[Any]:
    """Of an assertion's call, whose arguments are all literals."""
    node = parse(call, "eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    arguments = [ast.literal_eval(argument) for argument in node.args]
    return [node.func.id, encode(arguments)]


def evaluate(
    pool: SandboxPool, payload: Mapping[str, Any], code: Sequence[str], expression: str
) -> str:
    """What an expression gives after the script, up to its assertion, has run in a sandbox.

    Raises SandboxError if two sandboxes broke.
    """
    # Two texts, so that the line of an error counts from the start of the policy's own code.
    script = ["\n".join(code) + "\n", "\n".join(check_lines(payload)[:-1])]
    line = json.dumps({"script": script, "expression": expression}).encode() + b"\n"
    command = ["python", "-c", _EVALUATE]
    result = in_sandbox(
        pool,
        lambda sandbox: sandbox.run(command, timeout_s=DEADLINE_S, stdin=line),
    )
    if result.timed_out:
        return "timed out"

    # The script may print as well; the value comes last.
    lines = result.stdout.decode(errors="replace").splitlines()
    text = lines[-1] if lines else "the run broke off"
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}..."
