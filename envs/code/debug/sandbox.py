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
from envs.code.witness import Answer, request
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
    pool: SandboxPool,
    payload: Mapping[str, Any],
    code: Sequence[str],
) -> Judgement:
    """The judgement on a script's code, in a sandbox that no policy touched.

    The assertions' calls are made there, and what they give is compared with the assertions' values
    here, so a script that forges an answer has to know it. Raises SandboxError if two sandboxes
    broke.
    """
    pairs = [*payload["visible"], *payload["hidden"]]
    answer = _answer(pool, code, [call for call, _ in pairs])
    values = answer.value
    if not isinstance(values, list) or len(values) != len(pairs):
        return Judgement(
            shown=False,
            hidden=0.0,
            timed_out=answer.timed_out,
        )

    holds: list[bool] = []
    for (_, expected), value in zip(pairs, values, strict=True):
        right = encode(literal(expected))
        holds.append(same(right, value))
    shown = len(payload["visible"])
    return Judgement(
        shown=all(holds[:shown]),
        hidden=fmean(holds[shown:]),
        timed_out=False,
    )


def _answer(pool: SandboxPool, code: Sequence[str], calls: Sequence[str]) -> Answer:
    """What calls of a script's functions give, in a sandbox of its own."""
    text = "\n".join(code)
    files = {"script.py": f"{text}\n"}
    question = {
        "module": "script",
        "calls": [_name_and_arguments(call) for call in calls],
    }
    return in_sandbox(
        pool,
        lambda sandbox: request(sandbox, files, question, DEADLINE_S),
    )


def _name_and_arguments(call: str) -> list[Any]:
    """Of an assertion's call, whose arguments are all literals."""
    node = parse(call, "eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    arguments = [ast.literal_eval(argument) for argument in node.args]
    return [node.func.id, encode(arguments)]


def evaluate(
    pool: SandboxPool,
    payload: Mapping[str, Any],
    code: Sequence[str],
    expression: str,
) -> str:
    """What an expression gives after the script, up to its assertion, has run in a sandbox.

    Raises SandboxError if two sandboxes broke.
    """
    *before_assertion, _ = check_lines(payload)
    policy_text = "\n".join(code) + "\n"
    check_text = "\n".join(before_assertion)
    # Two texts, so that the line of an error counts from the start of the policy's own code.
    question = {
        "script": [policy_text, check_text],
        "expression": expression,
    }
    line = json.dumps(question) + "\n"
    command = ["python", "-c", _EVALUATE]
    result = in_sandbox(
        pool,
        lambda sandbox: sandbox.run(
            command,
            timeout_s=DEADLINE_S,
            stdin=line.encode(),
        ),
    )
    if result.timed_out:
        return "timed out"

    # The script may print as well; the value comes last.
    output = result.stdout.decode(errors="replace")
    lines = output.splitlines()
    if not lines:
        return "the run broke off"
    return _abbreviate(lines[-1])


def _abbreviate(text: str) -> str:
    """As much of a value as the policy is shown."""
    if len(text) <= MAX_CHARS:
        return text
    return f"{text[:MAX_CHARS]}..."
