"""The second witness of a verdict: what a submission gives, compared where it cannot reach.

Tests run in the process that imports the submission, so what they report is only as good as that
process. A witness is a module of cases without expected values. It runs against the right module
and against the submission, each in a sandbox of its own, and the two outputs are compared here.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from envs.code.boxes import in_box
from envs.code.corpus import DATA, Source, source
from sandboxes.base import Sandbox, SandboxError, SandboxPool

__all__ = [
    "CLOSE",
    "Observations",
    "differences",
    "observe",
    "reference",
    "request",
    "same",
    "witness_text",
]

Observations = Mapping[str, Sequence[Any]]
"""Case -> what it gave, one JSON value for each observation."""

DEADLINE_S = 10.0
CLOSE = 1e-9
"""How far two floats may lie apart, absolutely and as a share of the larger."""

_DRIVER = Path(__file__).with_name("observe.py").read_text("ascii")


def witness_text(name: str) -> str:
    """Text of a source's witness; empty where it has none."""
    path = DATA / "witnesses" / f"{name}.py"
    return path.read_text("utf-8") if path.exists() else ""


def request(
    box: Sandbox, files: Mapping[str, str], asked: Mapping[str, Any], timeout_s: float
) -> Any:
    """The answer of `observe.py` to a request about the files; None where there is none.

    `box` is a lease that is empty. Raises SandboxError.
    """
    # Half a surrogate pair, which a policy can write, makes a bad file and not a broken sandbox.
    contents = {path: text.encode(errors="surrogatepass") for path, text in files.items()}
    box.write(contents)
    line = json.dumps(asked).encode() + b"\n"
    done = box.run(["python", "-c", _DRIVER], timeout_s=timeout_s, stdin=line)
    if done.timed_out or done.truncated:
        return None
    try:
        return json.loads(done.stdout)
    except (ValueError, RecursionError):
        return None


def observe(box: Sandbox, package: Source, text: str) -> Observations | None:
    """What the witness of a source sees of one version of its module.

    None where the run broke off, took longer than the deadline or printed what is no list of cases.
    Raises SandboxError.
    """
    module = f"witness_{package.name}"
    files = {package.file: text, f"{module}.py": witness_text(package.name)}
    return cases(request(box, files, {"witness": module}, DEADLINE_S))


def cases(answer: Any) -> Observations | None:
    """The observations in an answer of `observe.py`; None where it is not made like them."""
    if not isinstance(answer, list):
        return None
    for row in answer:
        match row:
            case [str(), list()]:
                continue
        return None
    return dict(answer) if len(dict(answer)) == len(answer) else None


def reference(pool: SandboxPool, name: str) -> Observations:
    """What the right module gives; seen once in a process, and kept.

    Raises ValueError for a source without a witness, SandboxError where the right module gives
    nothing in the time: the sandbox is at fault then.
    """
    with _LOCKS(name):
        if name not in _SEEN:
            package = source(name)
            if not witness_text(name):
                raise ValueError(f"got {name}, wanted a source with a witness in {DATA}")
            seen = in_box(pool, lambda box: observe(box, package, package.text))
            if seen is None:
                raise SandboxError(f"the right {package.file} gave nothing in {DEADLINE_S:g} s")
            _SEEN[name] = seen
        return _SEEN[name]


_SEEN: dict[str, Observations] = {}


@cache
def _LOCKS(name: str) -> threading.Lock:
    return threading.Lock()


@dataclass(frozen=True)
class Difference:
    """An observation of a submission that is not the right module's.

    | field | meaning |
    |---|---|
    | case | function of the witness |
    | number | of the observation in its case, from 0 |
    """

    case: str
    number: int


def differences(right: Observations, given: Observations | None) -> Iterator[Difference]:
    """Where a submission differs, everywhere if nothing is known of it."""
    given = given or {}
    for case, wanted in right.items():
        got = given.get(case, ())
        for number, value in enumerate(wanted):
            if number >= len(got) or not same(value, got[number]):
                yield Difference(case, number)
        if len(got) > len(wanted):
            yield Difference(case, len(wanted))


def same(one: Any, other: Any) -> bool:
    """Whether two values that `observe.encode` wrote are equal as Python's `==` has it.

    Floats may differ by `CLOSE`; the order of a dictionary does not count.
    """
    first, second = _number(one), _number(other)
    if first is not None or second is not None:
        if first is None or second is None:
            return False
        if isinstance(first, int) and isinstance(second, int):
            return first == second
        both_nan = first != first and second != second
        try:
            return both_nan or math.isclose(first, second, rel_tol=CLOSE, abs_tol=CLOSE)
        except OverflowError:
            return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys() or len(one) != 1:
            return False
        ((kind, inner),) = one.items()
        (outer,) = other.values()
        if kind == "dict":
            return _same_pairs(inner, outer)
        return same(inner, outer)
    return type(one) is type(other) and one == other


def _same_pairs(one: Any, other: Any) -> bool:
    if not isinstance(other, list) or len(one) != len(other):
        return False
    rest = list(other)
    for pair in one:
        place = next((i for i, candidate in enumerate(rest) if same(pair, candidate)), None)
        if place is None:
            return False
        del rest[place]
    return True


def _number(value: Any) -> int | float | None:
    """The number that a JSON value stands for, None for another one."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, dict) and len(value) == 1:
        try:
            if isinstance(text := value.get("float"), str):
                return float(text)
            if isinstance(text := value.get("int"), str):
                return int(text, 16)
        except ValueError:
            return None
    return None
