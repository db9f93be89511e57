"""Runs checks on a subject, the ones with hostile code in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from envs.checks.env_under_test import EnvUnderTest, NotDefined

__all__ = ["Check", "Result", "fresh_environment", "run_alone", "run_check"]

TOLD = 3
ALONE_S = {True: 240.0, False: 900.0}


@dataclass(frozen=True)
class Check:
    """One question to an environment.

    | field | meaning |
    |---|---|
    | name | for `--only` and the table |
    | find | yields a sentence for each problem; its docstring's first line says what must hold |
    | alone | attacks that could end, hang or litter the process of an unsound environment |
    """

    name: str
    find: Callable[[EnvUnderTest], Iterator[str]]
    alone: bool = False

    @property
    def about(self) -> str:
        """What must hold."""
        return (self.find.__doc__ or "").partition("\n")[0]


@dataclass(frozen=True)
class Result:
    """What a check found: `ok`, `failed` or `skipped`, and why."""

    env: str
    check: str
    status: str
    detail: str
    seconds: float


def run_check(check: Check, subject: EnvUnderTest) -> Result:
    """The check's result; what the environment raises is a problem of it."""
    started = time.monotonic()
    subject.notes, subject.breaches = [], []
    problems: list[str] = []
    skipped = ""
    try:
        problems += check.find(subject)
    except NotDefined as missing:
        skipped = str(missing)
    except Exception as error:  # noqa: BLE001 - whatever an environment raises is a finding
        raised = f"{type(error).__name__}: {error}"
        problems.append("; ".join([raised, *getattr(error, "__notes__", ())]))
    problems = list(dict.fromkeys([*problems, *subject.breaches]))
    status = "failed" if problems else "skipped" if skipped else "ok"
    more = [f"and {len(problems) - TOLD} more"] if len(problems) > TOLD else []
    told = (
        [*problems[:TOLD], *more]
        if problems
        else [skipped]
        if skipped
        else subject.notes
    )
    return Result(
        subject.name, check.name, status, "\n".join(told), time.monotonic() - started
    )


def run_alone(
    check: Check, subject: EnvUnderTest, *, limit_s: float | None = None
) -> Result:
    """The check's result from a process of its own, whose working directory is an empty folder."""
    started = time.monotonic()
    limit_s = limit_s or ALONE_S[subject.quick]
    with tempfile.TemporaryDirectory(prefix="scgrpo-check-") as folder:
        report = Path(folder, "report", "result.json")
        work = Path(folder, "work")
        report.parent.mkdir()
        work.mkdir()
        argv = [
            sys.executable,
            "-m",
            "envs.checks.alone",
            subject.name,
            check.name,
            str(report),
        ]
        said = report.with_name("stderr")
        ended = _run(argv + ["--quick"] * subject.quick, work, limit_s, said)
        if report.exists():
            return Result(**json.loads(report.read_text("utf-8")))
        lines = said.read_text("utf-8", "replace").split("\n")
    last = next(
        (f"; it said: {line:.200}" for line in reversed(lines) if line.strip()), ""
    )
    problem = f"the process that played the attacks {ended}, as if they ran in it{last}"
    return Result(
        subject.name, check.name, "failed", problem, time.monotonic() - started
    )


def write_result(result: Result, path: Path) -> None:
    """Leaves a result for `run_alone`, in one step."""
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(asdict(result)), "utf-8")
    scratch.replace(path)


def fresh_environment(**variables: str) -> dict[str, str]:
    """Environment variables with which a new Python imports what this one can import."""
    found = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": found, **variables}


def _run(argv: list[str], work: Path, limit_s: float, said: Path) -> str:
    """Runs a command with its errors in a file, and says how it ended."""
    with (
        said.open("wb") as stderr,
        subprocess.Popen(
            argv,
            cwd=work,
            env=fresh_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"was still running after {limit_s:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return f"ended early with exit code {code}"
