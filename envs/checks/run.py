"""Runs checks on an environment, the ones with hostile code in a process of their own.

`python -m envs.checks.run NAME CHECK REPORT [--quick]` is that process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from envs.checks.catalogue import Check, by_name
from envs.checks.env_under_test import EnvUnderTest, NotDefined
from envs.checks.fresh import fresh_environment

__all__ = ["Result", "run_alone", "run_check"]

SHOWN = 3
"""How many problems of a check are shown."""
ALONE_S = {True: 240.0, False: 900.0}


@dataclass(frozen=True)
class Result:
    """A check's result: status `ok`, `failed` or `skipped`, and why."""

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
        # Problems yielded before an exception count, too.
        problems += check.find(subject)
    except NotDefined as missing:
        skipped = str(missing)
    except Exception as error:  # noqa: BLE001 - whatever an environment raises is a finding
        problems.append(_as_problem(error))
    problems = list(dict.fromkeys([*problems, *subject.breaches]))

    if problems:
        status, details = "failed", _first(problems)
    elif skipped:
        status, details = "skipped", [skipped]
    else:
        status, details = "ok", subject.notes
    seconds = time.monotonic() - started
    return Result(subject.name, check.name, status, "\n".join(details), seconds)


def _as_problem(error: Exception) -> str:
    # Notes say at which turn of which task it was raised.
    notes = getattr(error, "__notes__", ())
    return "; ".join([f"{type(error).__name__}: {error}", *notes])


def _first(problems: Sequence[str]) -> list[str]:
    rest = len(problems) - SHOWN
    return [*problems[:SHOWN], *([f"and {rest} more"] if rest > 0 else [])]


def run_alone(
    check: Check, subject: EnvUnderTest, *, limit_s: float | None = None
) -> Result:
    """The check's result from a process of its own, whose working directory is an empty folder."""
    started = time.monotonic()
    limit_s = limit_s or ALONE_S[subject.quick]
    with tempfile.TemporaryDirectory(prefix="scgrpo-check-") as folder:
        # Not in the working directory, where hostile code would find the report.
        report = Path(folder, "report", "result.json")
        work = Path(folder, "work")
        report.parent.mkdir()
        work.mkdir()

        argv = [sys.executable, "-m", "envs.checks.run"]
        argv += [subject.name, check.name, str(report)]
        argv += ["--quick"] if subject.quick else []
        errors = report.with_name("stderr")
        ending = _run(argv, work, limit_s, errors)
        if report.exists():
            return Result(**json.loads(report.read_text("utf-8")))
        last = _last_line(errors)

    problem = f"the process that played the attacks {ending}, as if they ran in it"
    if last:
        problem += f"; its last line: {last:.200}"
    seconds = time.monotonic() - started
    return Result(subject.name, check.name, "failed", problem, seconds)


def _last_line(file: Path) -> str:
    """The last line with text of a file; "" if there is none."""
    lines = file.read_text("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")


def _run(argv: list[str], work: Path, limit_s: float, errors: Path) -> str:
    """Runs a command with its errors in a file, and says how it ended."""
    with (
        errors.open("wb") as stderr,
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
                # The whole session: what hostile code has started ends, too.
                os.killpg(process.pid, signal.SIGKILL)
    return f"ended early with exit code {code}"


def main() -> None:
    """Runs one check and leaves its result at REPORT, for `run_alone`."""
    name, check, report, *rest = sys.argv[1:]
    with EnvUnderTest(name, quick="--quick" in rest) as subject:
        result = run_check(by_name(check), subject)

    # In one step: half a report is none.
    path = Path(report)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(result)), "utf-8")
    part.replace(path)


if __name__ == "__main__":
    main()
