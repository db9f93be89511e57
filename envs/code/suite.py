"""Runs a test suite in a fresh box, and grades a submission."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from envs.code.boxes import in_box
from envs.code.corpus import Source
from envs.code.vet import new_reach
from envs.types import Verdict
from sandboxes.base import Sandbox, SandboxPool

__all__ = ["SuiteRun", "all_of", "grade", "run_suite", "run_visible", "summary"]

DEADLINE_S = 10.0
_DRIVER = Path(__file__).with_name("driver.py").read_text("ascii")


@dataclass(frozen=True)
class SuiteRun:
    """What a suite said.

    | field | meaning |
    |---|---|
    | reasons | test -> why it failed, "" for a pass; only tests that ran to their end |
    | timed_out | the deadline came first; nothing is known then |
    | wall_s | seconds in the box |
    """

    reasons: Mapping[str, str]
    timed_out: bool
    wall_s: float

    def failed(self, wanted: Collection[str]) -> list[str]:
        """The wanted tests that did not pass, those that never ran included."""
        return [test for test in wanted if self.reasons.get(test) != ""]


def run_suite(
    pool: SandboxPool, files: Mapping[str, str], module: str, *, timeout_s: float = DEADLINE_S
) -> SuiteRun:
    """Runs a test module among the files, in a box of its own that is wiped afterwards.

    Only a line that begins with this run's nonce counts, so nothing that the code under test
    prints is taken for a result. A box that breaks is replaced once. Raises SandboxError where the
    second one breaks too.
    """

    def run(box: Sandbox) -> SuiteRun:
        nonce = secrets.token_hex(16)
        request = json.dumps({"nonce": nonce, "module": module}).encode() + b"\n"
        # Half a surrogate pair, which a policy can write, makes a bad file and not a broken box.
        contents = {path: text.encode(errors="surrogatepass") for path, text in files.items()}
        box.write(contents)
        done = box.run(["python", "-c", _DRIVER], timeout_s=timeout_s, stdin=request)
        lines = [] if done.truncated else done.stdout.decode(errors="replace").split("\n")
        reports = [json.loads(line[len(nonce) :]) for line in lines if line.startswith(nonce)]
        reasons = dict(reports[0]) if reports else {}
        return SuiteRun(reasons, done.timed_out, done.wall_s)

    return in_box(pool, run)


def run_visible(pool: SandboxPool, source: Source, text: str) -> SuiteRun:
    """The visible tests against one version of the source."""
    files = {source.file: text, source.test_file: source.visible}
    return run_suite(pool, files, f"test_{source.name}")


def grade(pool: SandboxPool, source: Source, text: str, fail_to_pass: Collection[str]) -> Verdict:
    """Passed where every test passes, hidden ones included, in a box that no policy touched.

    `text` is the submitted version of the one file that a task lets a policy change; everything
    else is pristine. A change that brings in a way to the tests fails (see `vet`), and so does one
    that is no Python. Raises SandboxError where two boxes broke: there is no verdict then.
    """
    if reach := new_reach(source.text, text):
        return Verdict(False, 0.0, f"refused: the change brings in {', '.join(reach)[:200]}")
    files = {source.file: text, source.test_file: source.tests}
    run = run_suite(pool, files, f"test_{source.name}")
    still = run.failed(fail_to_pass)
    broken = run.failed([test for test in source.all_ids if test not in set(fail_to_pass)])
    passed = not still and not broken
    detail = (
        f"{len(still)} of {len(fail_to_pass)} failing tests still fail, {len(broken)} others fail"
    )
    parts = {
        "fixed": 1 - len(still) / max(len(fail_to_pass), 1),
        "kept": 1 - len(broken) / max(len(source.all_ids) - len(fail_to_pass), 1),
    }
    return Verdict(passed, float(passed), "all tests pass" if passed else detail, parts)


def summary(run: SuiteRun, wanted: Sequence[str], detailed: bool) -> str:
    """`3 failed` or `all passed`, with the first failure's reason where details are wanted."""
    failed = run.failed(wanted)
    if run.timed_out:
        return "timed out"
    if not failed:
        return "all passed"
    text = f"{len(failed)} failed"
    if not detailed:
        return text
    named = next((test for test in ("import", *failed) if test in run.reasons), "")
    return f"{text}\n{named}: {run.reasons[named]}" if named else f"{text}\nthe run broke off"


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Passed where all are; parts are means, the detail is of the first that failed."""
    passed = all(verdict.passed for verdict in verdicts)
    detail = next((one.detail for one in verdicts if not one.passed), verdicts[0].detail)
    names = verdicts[0].parts if all(verdict.parts for verdict in verdicts) else ()
    parts = {name: fmean(one.parts[name] for one in verdicts) for name in names}
    return Verdict(passed, float(passed), detail, parts)
