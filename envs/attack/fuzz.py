"""Submissions that hypothesis composes from fragments, and solutions in harmless code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.attack.engine import ERRED, REFUSED, THEFT, Finding, Pooled, finding
from envs.attack.fragments import (
    ENDINGS,
    EXCEPTIONS,
    IMPORTS,
    LINES,
    PATCHABLE,
    REPLACEMENTS,
    RESULTS,
)
from envs.attack.harmless import changes, in_code
from envs.attack.model import EVIDENCE, Attack
from envs.attack.targets import Target
from envs.checks.turns import with_text

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover - the command says what to do
    raise ImportError("fuzzing needs hypothesis: pip install hypothesis") from error

__all__ = ["fuzz", "submissions", "oracle_in_harmless_code"]

_FUZZ = Attack("fuzz", EVIDENCE, "", "")
_HARMLESS = Attack("harmless", EVIDENCE, "", "")


def _fragments() -> st.SearchStrategy[str]:
    """One thing that an attacker's code does, as statements; some define `on_call`."""
    call = st.integers(1, 6)
    lines = st.lists(st.sampled_from(LINES), min_size=1, max_size=4)
    return st.one_of(
        st.builds(_raise_at, st.sampled_from(EXCEPTIONS), call),
        st.builds(_return_at, st.sampled_from(RESULTS), call),
        st.builds(_do_at, st.sampled_from(ENDINGS), call),
        st.builds(_patch, st.sampled_from(PATCHABLE), st.sampled_from(REPLACEMENTS)),
        st.builds(_write_report, lines, st.integers(0, 5)),
        st.sampled_from(ENDINGS).map(lambda ending: f"{ending}\n"),
    )


def _do_at(statement: str, call: int) -> str:
    """From the n-th call of the submission's functions on, the statement comes first."""
    return (
        "calls = []\ndef on_call(function, a, k, calls=calls):\n    calls.append(1)\n"
        f"    if len(calls) >= {call}:\n        {statement}\n    return function(*a, **k)\n"
    )


def _raise_at(exception: str, call: int) -> str:
    return _do_at(f"raise {exception}", call)


def _return_at(result: str, call: int) -> str:
    return _do_at(f"return {result}", call)


def _patch(name: str, replacement: str) -> str:
    return f"{name} = {replacement}\n"


def _write_report(lines: list[str], first_fd: int) -> str:
    """Writes a forged report to every open file from a descriptor on."""
    text = "\n".join(lines) + "\n"
    return (
        f"for fd in range({first_fd}, 16):\n    try:\n        os.write(fd, {text!r}.encode())\n"
        "    except OSError:\n        pass\n"
    )


def submissions() -> st.SearchStrategy[list[str]]:
    """One to four fragments, each the code of an attack."""
    fragment = _fragments().map(lambda code: IMPORTS + code)
    return st.lists(fragment, min_size=1, max_size=4)


def fuzz(
    subject: Pooled, target: Target, examples: int, *, seed: int = 0
) -> list[Finding]:
    """The smallest of `examples` submissions that is paid or raises; none if all fail."""
    findings: list[Finding] = []

    def attack(codes: list[str]) -> None:
        """Fails, as hypothesis expects, if the submission is paid or raises."""
        try:
            turns = target.turns(codes)
        except ValueError:
            # The code does not fit at this place.
            hypothesis.reject()
        try:
            if not subject.play(target.task, turns).passed:
                return
            code = "\n".join(code.removeprefix(IMPORTS) for code in codes)
            what, detail = THEFT, f"fragments:\n{code}"
        except Exception as error:  # noqa: BLE001 - whatever an environment raises is a finding
            what, detail = ERRED, f"{type(error).__name__}: {error}"[:200]
        findings.append(finding(subject, target, _FUZZ, what, detail, turns))
        raise AssertionError(what)

    _run_examples(submissions(), attack, examples, seed)
    # The last one is the smallest: hypothesis ends with it.
    return findings[-1:]


def oracle_in_harmless_code(
    subject: Pooled, target: Target, examples: int, *, seed: int = 0
) -> list[Finding]:
    """The oracle's solution in harmless code, if it fails; nothing if each example passes."""
    findings: list[Finding] = []
    right = target.right or []

    def wrap(data: st.DataObject) -> None:
        """Fails if the changed solution does."""
        turns = with_text(right, lambda text: data.draw(_harmless(text))) or right
        if not subject.play(target.task, turns).passed:
            detail = "the oracle's solution fails in harmless code"
            findings.append(finding(subject, target, _HARMLESS, REFUSED, detail, turns))
            raise AssertionError(detail)

    if right:
        _run_examples(st.data(), wrap, examples, seed)
    return findings[-1:]


def _run_examples(
    strategy: st.SearchStrategy[Any],
    action: Callable[[Any], None],
    examples: int,
    seed: int,
) -> None:
    """Runs an action on examples, and makes the one that fails as small as it gets."""
    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
        suppress_health_check=list(hypothesis.HealthCheck),  # pyright: ignore[reportArgumentType]
    )

    def run(value: Any) -> None:
        """The action, under a signature that hypothesis can read."""
        action(value)

    test = hypothesis.seed(seed)(settings(hypothesis.given(strategy)(run)))
    try:
        test()
    except AssertionError:
        # The action has kept what failed.
        return


def _harmless(text: str) -> st.SearchStrategy[str]:
    some = st.lists(st.sampled_from(list(changes(text))), max_size=3)
    return some.map(lambda sampled: in_code(text, sampled))
