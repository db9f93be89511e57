"""The second witness of a verdict: what a submission gives, compared where it cannot reach.

Tests run in the process that imports the submission, so what they report is only as good as that
process. A witness is a module of cases without expected values. It runs against the right module
and against the submission, each in a sandbox of its own, and the two outputs are compared here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from envs.code.programs import program
from envs.code.swe_lite.corpus import DATA, Source, source
from envs.code.testing import file_contents, in_sandbox, once_per_pool
from envs.code.values import Observations, cases
from sandboxes.base import Sandbox, SandboxError, SandboxPool

__all__ = [
    "Answer",
    "observe",
    "reference",
    "request",
    "witness_files",
    "witness_text",
]

DEADLINE_S = 10.0


def witness_text(name: str) -> str:
    """Text of a source's witness; empty if it has none."""
    path = DATA / "witnesses" / f"{name}.py"
    return path.read_text("utf-8") if path.exists() else ""


def witness_files(package: Source, text: str) -> tuple[str, dict[str, str]]:
    """Name of a source's witness module, and the files that it runs among.

    `text`: the version of the source's module that it observes.
    """
    module = f"witness_{package.name}"
    return module, {
        package.file: text,
        f"{module}.py": witness_text(package.name),
    }


class Answer(NamedTuple):
    """What `observe.py` printed.

    | field | meaning |
    |---|---|
    | value | JSON; None if the run broke off, took too long, or printed too much or no JSON |
    | timed_out | the deadline came first |
    """

    value: Any
    timed_out: bool = False


def request(
    sandbox: Sandbox,
    files: Mapping[str, str],
    question: Mapping[str, Any],
    timeout_s: float,
) -> Answer:
    """The answer of `observe.py` to a request about the files, in a lease that is empty.

    A request that holds what a submission gave, nested deeper than JSON can be written, has no
    answer. Raises SandboxError.
    """
    try:
        line = json.dumps(question).encode() + b"\n"
    except RecursionError:
        return Answer(None)

    sandbox.write(file_contents(files))
    command = ["python", "-c", program("observe.py")]
    result = sandbox.run(command, timeout_s=timeout_s, stdin=line)
    if result.timed_out or result.truncated:
        return Answer(None, result.timed_out)
    try:
        return Answer(json.loads(result.stdout))
    except (ValueError, RecursionError):
        return Answer(None)


def observe(sandbox: Sandbox, package: Source, text: str) -> Observations | None:
    """What the witness of a source sees of one version of its module.

    None if the run broke off, took longer than the deadline or printed what is no list of cases.
    Raises SandboxError.
    """
    module, files = witness_files(package, text)
    return cases(request(sandbox, files, {"witness": module}, DEADLINE_S).value)


@once_per_pool
def reference(pool: SandboxPool, name: str) -> Observations:
    """What the right module of a source gives in a pool's sandboxes.

    Raises ValueError for a source without a witness, SandboxError if the right module gives nothing
    in the time: the sandbox is at fault then.
    """
    package = source(name)
    if not witness_text(name):
        folder = DATA / "witnesses"
        raise ValueError(f"got {name}, expected a source with a witness in {folder}")

    right = in_sandbox(pool, lambda sandbox: observe(sandbox, package, package.text))
    if right is None:
        raise SandboxError(f"the right {package.file} gave nothing in {DEADLINE_S:g} s")
    return right
