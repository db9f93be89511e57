"""Runs a test suite in a fresh sandbox, and grades a submission."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from envs.code.evidence import Evidence, Request
from envs.code.programs import program
from envs.code.swe_lite.corpus import Source
from envs.code.testing import file_contents, in_sandbox
from envs.code.values import Observations, differences
from envs.code.vet import new_reach
from envs.code.witness import observe, reference
from envs.types import Verdict
from sandboxes.base import Sandbox, SandboxPool

__all__ = [
    "SuiteRun",
    "all_of",
    "grade",
    "refusal",
    "run_suite",
    "run_visible",
    "summary",
]

DEADLINE_S = 10.0


@dataclass(frozen=True)
class SuiteRun:
    """What a run of a suite proved.

    | field | meaning |
    |---|---|
    | evidence | of each test; see `Evidence` |
    | timed_out | the deadline came first; nothing is proved then |
    | wall_s | seconds in the sandbox |
    """

    evidence: Evidence
    timed_out: bool
    wall_s: float

    @property
    def reasons(self) -> Mapping[str, str]:
        """Test -> why it failed, "" for a pass."""
        return self.evidence.reasons

    def failures(self, tests: Collection[str]) -> list[str]:
        """Which of the tests are not proved to have passed, those that never ran included."""
        if self.timed_out:
            return list(tests)
        return self.evidence.failures(tests)


def run_suite(
    pool: SandboxPool,
    files: Mapping[str, str],
    module: str,
    *,
    timeout_s: float = DEADLINE_S,
) -> SuiteRun:
    """Runs a test module among the files, in a sandbox of its own that is wiped afterwards.

    A sandbox that breaks is replaced once. Raises SandboxError if the second one breaks too.
    """

    def action(sandbox: Sandbox) -> SuiteRun:
        """The run in one lease."""
        return _run(sandbox, files, module, timeout_s)

    return in_sandbox(pool, action)


def _run(
    sandbox: Sandbox, files: Mapping[str, str], module: str, timeout_s: float
) -> SuiteRun:
    """`run_suite` in a lease that is empty."""
    request = Request(module)
    sandbox.write(file_contents(files))
    command = ["python", "-c", program("driver.py")]
    result = sandbox.run(
        command,
        timeout_s=timeout_s,
        stdin=request.line(),
    )
    output = result.stdout
    # Output past the cap ends the run: the report, which comes last, is then missing.
    if result.truncated:
        output = b""
    return SuiteRun(
        evidence=request.read(output),
        timed_out=result.timed_out,
        wall_s=result.wall_s,
    )


def run_visible(pool: SandboxPool, source: Source, text: str) -> SuiteRun:
    """The visible tests against one version of the source. Raises what `run_suite` raises."""
    files = {
        source.file: text,
        source.test_file: source.visible,
    }
    return run_suite(pool, files, f"test_{source.name}")


def grade(
    pool: SandboxPool, source: Source, text: str, fail_to_pass: Collection[str]
) -> Verdict:
    """Passed if the witness sees the right module and every test passes, hidden ones included.

    `text` is the submitted version of the one file that a task lets a policy change; everything
    else is pristine, and no policy has touched the sandbox. A change that brings in a way to the
    tests fails (see `vet`), and so does one that is no Python. Raises ValueError for a source
    without a witness, SandboxError if two sandboxes broke: there is no verdict then.
    """
    reach = new_reach(source.text, text)
    if reach:
        return _failure(refusal(reach))

    right = reference(pool, source.name)

    def action(sandbox: Sandbox) -> tuple[Observations | None, SuiteRun]:
        """Both runs in one lease."""
        # The witness comes first: the tests hold expected values, which it must not find.
        observations = observe(sandbox, source, text)
        sandbox.reset()
        files = {
            source.file: text,
            source.test_file: source.tests,
        }
        run = _run(sandbox, files, f"test_{source.name}", DEADLINE_S)
        return observations, run

    observations, run = in_sandbox(pool, action)
    num_different = len(list(differences(right, observations)))
    num_observations = sum(len(calls) for calls in right.values())
    return _verdict(
        source,
        run,
        fail_to_pass,
        num_different,
        num_observations,
    )


def _verdict(
    source: Source,
    run: SuiteRun,
    fail_to_pass: Collection[str],
    num_different: int,
    num_observations: int,
) -> Verdict:
    """The verdict on a run of all tests and `num_different` observations that are not right."""
    must_change = set(fail_to_pass)
    pass_to_pass = [test for test in source.all_ids if test not in must_change]
    still_failing = run.failures(fail_to_pass)
    broken = run.failures(pass_to_pass)
    parts = {
        "fixed": _passing_share(still_failing, fail_to_pass),
        "kept": _passing_share(broken, pass_to_pass),
    }

    if still_failing or broken:
        detail = (
            f"{len(still_failing)} of {len(fail_to_pass)} failing tests still fail, "
            f"{len(broken)} others fail"
        )
        # Of a report that proves nothing, the tests' own words say why as a rule.
        fault = run.evidence.fault
        if fault and not any(run.reasons.values()):
            detail += f": {fault[:200]}"
        return _failure(detail, parts)
    if num_different:
        calls = f"{num_different} of {num_observations} calls"
        detail = f"the tests pass, but {calls} give what is not right"
        return _failure(detail, parts)
    return Verdict(
        passed=True,
        score=1.0,
        detail="all tests pass",
        parts=parts,
    )


def _passing_share(failures: Collection[str], tests: Collection[str]) -> float:
    num_tests = max(len(tests), 1)
    return 1 - len(failures) / num_tests


def _failure(detail: str, parts: Mapping[str, float] | None = None) -> Verdict:
    return Verdict(
        passed=False,
        score=0.0,
        detail=detail,
        parts=parts or {},
    )


def refusal(reach: Sequence[str]) -> str:
    """The reply to a change that brings in what `new_reach` lists."""
    return f"refused: the change brings in {', '.join(reach)[:200]}"


def summary(run: SuiteRun, tests: Sequence[str], detailed: bool) -> str:
    """`3 failed` or `all passed`, if `detailed` with the reason of the first failure."""
    if run.timed_out:
        return "timed out"
    failures = run.failures(tests)
    if not failures:
        return "all passed"
    text = f"{len(failures)} failed"
    if not detailed:
        return text

    # A module that cannot be imported fails all tests for that one reason.
    for test in ("import", *failures):
        if run.reasons.get(test):
            return f"{text}\n{test}: {run.reasons[test]}"
    return f"{text}\nthe run broke off"


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Passed if all are; parts are means, the detail is of the first that failed."""
    failures = [verdict for verdict in verdicts if not verdict.passed]
    # Any verdict's detail will do if all say that all tests pass.
    shown = failures[0] if failures else verdicts[0]
    parts: dict[str, float] = {}
    # A refused change has no parts, and a mean over the others would say too much.
    if all(verdict.parts for verdict in verdicts):
        for name in verdicts[0].parts:
            shares = [verdict.parts[name] for verdict in verdicts]
            parts[name] = fmean(shares)

    passed = not failures
    return Verdict(
        passed=passed,
        score=float(passed),
        detail=shown.detail,
        parts=parts,
    )
