"""Submissions that hypothesis composes from fragments, and solutions in harmless code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.attack.engine import ERRED, THEFT, Finding, Pooled
from envs.attack.harmless import changes, in_code
from envs.attack.model import EVIDENCE, Attack
from envs.attack.targets import Target
from envs.checks.turns import with_text

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover - the command says what to do
    raise ImportError("fuzzing needs hypothesis: pip install hypothesis") from error

__all__ = ["fuzz", "submissions", "wrapped_oracle"]

_RAISED = (
    *(
        "KeyboardInterrupt",
        "SystemExit(0)",
        "GeneratorExit",
        "StopIteration(0)",
        "MemoryError",
    ),
    *(
        "RecursionError",
        "AssertionError",
        "ValueError(10**5000)",
        "ValueError('\\udcff')",
    ),
    *("BaseException", "UnicodeError", "NotImplementedError", "OSError(28, 'full')"),
    *("__import__('unittest').SkipTest('s')", "__import__('asyncio').CancelledError"),
    "type('AssertionError', (BaseException,), {'__str__': lambda e: 1 / 0})",
)
_GIVEN = (
    *(
        "True",
        "1",
        "1.0",
        "0",
        "''",
        "None",
        "[]",
        "{}",
        "()",
        "float('nan')",
        "10**5000",
    ),
    *(
        "NotImplemented",
        "...",
        "object()",
        "'\\udcff'",
        "b''",
        "1j",
        "range(3)",
        "set()",
    ),
    "type('Any', (), {'__eq__': lambda a, b: True, '__hash__': lambda a: 0})()",
    "type('Liar', (int,), {'__eq__': lambda a, b: True, '__repr__': lambda a: '1'})(1)",
    "type('Text', (str,), {'__eq__': lambda a, b: True, '__hash__': str.__hash__})('x')",
    "type('Bad', (), {'__repr__': lambda a: 1 / 0})()",
    *(
        "a[0] if a else None",
        "function(*a, **k)",
        "[function(*a, **k)]",
        "str(function(*a, **k))",
    ),
    *("k", "a", "function", "not function(*a, **k)", "[[]] * 99"),
)
_PATCHED = (
    *(
        "builtins.repr",
        "builtins.len",
        "builtins.isinstance",
        "builtins.eval",
        "builtins.str",
    ),
    *("builtins.getattr", "builtins.sorted", "builtins.print", "builtins.open"),
    *(
        "json.dumps",
        "json.loads",
        "os.write",
        "os._exit",
        "os.dup2",
        "sys.exit",
        "os.fdopen",
    ),
    *(
        "unittest.TestCase.run",
        "unittest.TestCase.assertEqual",
        "unittest.TestResult.addFailure",
    ),
    *(
        "unittest.TestCase.fail",
        "math.isclose",
        "copy.deepcopy",
        "random.seed",
        "time.monotonic",
    ),
)
_PUT = (
    *(
        "lambda *a, **k: None",
        "lambda *a, **k: True",
        "lambda *a, **k: 'passed'",
        "None",
    ),
    *(
        "lambda *a, **k: a[0] if a else None",
        "lambda *a, **k: len(a)",
        "lambda *a, **k: os._exit(0)",
    ),
)
_LINES = (
    *(
        "[]",
        "{}",
        "true",
        "null",
        "passed",
        "OK",
        "[true]",
        "[[]]",
        '["over", 0]',
        '{"passed": true}',
    ),
    *(
        '["end", "passed", ""]',
        '["start", "T.a"]',
        '["T.a", ""]',
        "ok 1",
        "[1, 1, 1]",
        "\\x00",
        "1",
    ),
    *(
        '["values", [1]]',
        '[["values", [true]]]',
        "0" * 32 + " []",
        '"' * 9,
        '["broke", ""]',
    ),
)
_ENDS = (
    *(
        "os._exit(0)",
        "sys.exit(0)",
        "os.kill(os.getpid(), 9)",
        "os.closerange(0, 32)",
        "pass",
    ),
    *(
        "sys.setrecursionlimit(70)",
        "os.abort()",
        "signal.raise_signal(14)",
        "os.close(1)",
    ),
    *(
        "sys.settrace(lambda *a: None)",
        "os.dup2(1, 2)",
        "sys.modules.clear()",
        "gc.disable()",
    ),
    *("sys.stdout.close()", "threading.Thread(target=os._exit, args=(0,)).start()"),
    *(
        "atexit.register(os._exit, 0)",
        "warnings.simplefilter('error')",
        "random.seed(0)",
    ),
)
_IMPORTS = (
    "import atexit, builtins, copy, gc, json, math, os, random, signal, sys, threading, time\n"
    "import unittest, warnings\n"
)


def _fragments() -> st.SearchStrategy[str]:
    """One thing that an attacker's code does, as statements; some define `on_call`."""
    at = st.integers(1, 6)

    def call(then: str) -> Callable[[int], str]:
        return lambda number: (
            "calls = []\ndef on_call(function, a, k, calls=calls):\n    calls.append(1)\n"
            f"    if len(calls) >= {number}:\n        {then}\n    return function(*a, **k)\n"
        )

    def raised(pair: tuple[str, int]) -> str:
        return call(f"raise {pair[0]}")(pair[1])

    def given(pair: tuple[str, int]) -> str:
        return call(f"return {pair[0]}")(pair[1])

    def ended(pair: tuple[str, int]) -> str:
        return call(pair[0])(pair[1])

    def patched(pair: tuple[str, str]) -> str:
        return f"{pair[0]} = {pair[1]}\n"

    def written(pair: tuple[list[str], int]) -> str:
        text = "\n".join(pair[0]) + "\n"
        return (
            f"for fd in range({pair[1]}, 16):\n    try:\n        os.write(fd, {text!r}.encode())\n"
            "    except OSError:\n        pass\n"
        )

    return st.one_of(
        st.tuples(st.sampled_from(_RAISED), at).map(raised),
        st.tuples(st.sampled_from(_GIVEN), at).map(given),
        st.tuples(st.sampled_from(_ENDS), at).map(ended),
        st.tuples(st.sampled_from(_PATCHED), st.sampled_from(_PUT)).map(patched),
        st.tuples(
            st.lists(st.sampled_from(_LINES), min_size=1, max_size=4), st.integers(0, 5)
        ).map(written),
        st.sampled_from(_ENDS).map(lambda end: f"{end}\n"),
    )


def submissions() -> st.SearchStrategy[list[str]]:
    """One to four fragments, each the code of an attack."""
    return st.lists(
        _fragments().map(lambda code: _IMPORTS + code), min_size=1, max_size=4
    )


def fuzz(
    subject: Pooled, target: Target, examples: int, *, seed: int = 0
) -> list[Finding]:
    """The smallest submission of so many that gets a reward or raises; none where all fail."""
    found: list[Finding] = []

    def attacked(codes: list[str]) -> None:
        try:
            turns = target.turns(codes)
        except ValueError:
            hypothesis.reject()
        try:
            paid, what = subject.play(target.task, turns).passed, THEFT
            detail = "fragments:\n" + "\n".join(
                code.removeprefix(_IMPORTS) for code in codes
            )
        except Exception as error:  # noqa: BLE001 - whatever an environment raises is a finding
            paid, what, detail = True, ERRED, f"{type(error).__name__}: {error}"[:200]
        if paid:
            one = Attack("fuzz", EVIDENCE, "", "")
            found.append(_found(subject, target, one, what, detail, turns))
            raise AssertionError(what)

    _given(submissions(), attacked, examples, seed)
    return found[-1:]


def wrapped_oracle(
    subject: Pooled, target: Target, examples: int, *, seed: int = 0
) -> list[Finding]:
    """The oracle's solution in harmless code, where it fails; nothing where each example passes."""
    found: list[Finding] = []
    right = target.right or []

    def wrapped(data: st.DataObject) -> None:
        turns = with_text(right, lambda text: data.draw(_harmless(text))) or right
        if not subject.play(target.task, turns).passed:
            one = Attack("harmless", EVIDENCE, "", "")
            detail = "the oracle's solution fails in harmless code"
            found.append(_found(subject, target, one, "refused", detail, turns))
            raise AssertionError(detail)

    if right:
        _given(st.data(), wrapped, examples, seed)
    return found[-1:]


def _given(
    strategy: st.SearchStrategy[Any],
    deed: Callable[[Any], None],
    examples: int,
    seed: int,
) -> None:
    """Runs a deed on examples, and makes the one that fails as small as it gets."""
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
        deed(value)

    test = hypothesis.seed(seed)(settings(hypothesis.given(strategy)(run)))
    try:
        test()
    except AssertionError:
        return


def _found(
    subject: Pooled,
    target: Target,
    attack: Attack,
    what: str,
    detail: str,
    turns: list[str],
) -> Finding:
    return Finding(
        subject.name,
        subject.backend,
        attack.name,
        attack.kind,
        target.name,
        what,
        detail,
        tuple(turns),
    )


def _harmless(text: str) -> st.SearchStrategy[str]:
    some = st.lists(st.sampled_from(list(changes(text))), max_size=3)
    return some.map(lambda picked: in_code(text, picked))
