"""Runs a test suite in a fresh sandbox, and grades a submission."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from envs.code.evidence import Evidence, Request
from envs.code.programs import program
from envs.code.swe_lite.corpus import Source
from envs.code.testing import in_sandbox
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

    def failures(self, wanted: Collection[str]) -> list[str]:
        """The wanted tests that are not proved to have passed, those that never ran included."""
        return list(wanted) if self.timed_out else self.evidence.failures(wanted)


def run_suite(
    pool: SandboxPool,
    files: Mapping[str, str],
    module: str,
    *,
    timeout_s: float = DEADLINE_S,
) -> SuiteRun:
    """Runs a test module among the files, in a sandbox of its own that is wiped afterwards.

    A sandbox that breaks is replaced once. Raises SandboxError where the second one breaks too.
    """
    return in_sandbox(pool, lambda box: _run(box, files, module, timeout_s))


def _run(
    box: Sandbox, files: Mapping[str, str], module: str, timeout_s: float
) -> SuiteRun:
    request = Request(module)
    # Half a surrogate pair, which a policy can write, makes a bad file and not a broken sandbox.
    box.write(
        {path: text.encode(errors="surrogatepass") for path, text in files.items()}
    )
    done = box.run(
        ["python", "-c", program("driver.py")],
        timeout_s=timeout_s,
        stdin=request.line(),
    )
    # Output past the cap ends the run: the report, which comes last, is then missing.
    evidence = request.read(b"" if done.truncated else done.stdout)
    return SuiteRun(evidence, done.timed_out, done.wall_s)


def run_visible(pool: SandboxPool, source: Source, text: str) -> SuiteRun:
    """The visible tests against one version of the source."""
    files = {source.file: text, source.test_file: source.visible}
    return run_suite(pool, files, f"test_{source.name}")


def grade(
    pool: SandboxPool, source: Source, text: str, fail_to_pass: Collection[str]
) -> Verdict:
    """Passed where the witness sees the right module and every test passes, hidden ones included.

    `text` is the submitted version of the one file that a task lets a policy change; everything
    else is pristine, and no policy has touched the sandbox. A change that brings in a way to the
    tests fails (see `vet`), and so does one that is no Python. Raises ValueError for a source
    without a witness, SandboxError where two sandboxes broke: there is no verdict then.
    """
    if reach := new_reach(source.text, text):
        return Verdict(False, 0.0, refusal(reach))
    right = reference(pool, source.name)

    def deed(box: Sandbox) -> tuple[Observations | None, SuiteRun]:
        # The witness comes first: the tests hold expected values, which it must not find.
        seen = observe(box, source, text)
        box.reset()
        files = {source.file: text, source.test_file: source.tests}
        return seen, _run(box, files, f"test_{source.name}", DEADLINE_S)

    seen, run = in_sandbox(pool, deed)
    different = sum(1 for _ in differences(right, seen))
    still = run.failures(fail_to_pass)
    broken = run.failures(
        [test for test in source.all_ids if test not in set(fail_to_pass)]
    )
    passed = not still and not broken and not different
    parts = {
        "fixed": 1 - len(still) / max(len(fail_to_pass), 1),
        "kept": 1 - len(broken) / max(len(source.all_ids) - len(fail_to_pass), 1),
    }
    detail = "all tests pass"
    if still or broken:
        detail = (
            f"{len(still)} of {len(fail_to_pass)} failing tests still fail, "
            f"{len(broken)} others fail"
        )
        # Of a report that proves nothing, the tests' own words say why as a rule.
        if run.evidence.fault and not any(run.reasons.values()):
            detail += f": {run.evidence.fault[:200]}"
    elif different:
        total = sum(map(len, right.values()))
        detail = (
            f"the tests pass, but {different} of {total} calls give what is not right"
        )
    return Verdict(passed, float(passed), detail, parts)


def refusal(reach: Sequence[str]) -> str:
    """What a policy is told of a change that brings in what `new_reach` lists."""
    return f"refused: the change brings in {', '.join(reach)[:200]}"


def summary(run: SuiteRun, wanted: Sequence[str], detailed: bool) -> str:
    """`3 failed` or `all passed`, with the first failure's reason where details are wanted."""
    failed = run.failures(wanted)
    if run.timed_out:
        return "timed out"
    if not failed:
        return "all passed"
    text = f"{len(failed)} failed"
    if not detailed:
        return text
    named = next((test for test in ("import", *failed) if run.reasons.get(test)), "")
    return (
        f"{text}\n{named}: {run.reasons[named]}"
        if named
        else f"{text}\nthe run broke off"
    )


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Passed where all are; parts are means, the detail is of the first that failed."""
    passed = all(verdict.passed for verdict in verdicts)
    detail = next(
        (one.detail for one in verdicts if not one.passed), verdicts[0].detail
    )
    names = verdicts[0].parts if all(verdict.parts for verdict in verdicts) else ()
    parts = {name: fmean(one.parts[name] for one in verdicts) for name in names}
    return Verdict(passed, float(passed), detail, parts)
