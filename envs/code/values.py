"""Compares what two runs of `observe.py` wrote, on the side that no submission can reach.

Standard library only: the graders of exported tasks run this file in their containers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

__all__ = ["CLOSE", "Difference", "Observations", "cases", "differences", "same"]

Observations = Mapping[str, Sequence[Any]]
"""Case -> what it gave, one JSON value for each observation."""

CLOSE = 1e-9
"""How far two floats may lie apart, absolutely and as a share of the larger."""


_FRACTION = re.compile(r"-?\d{1,1000}/\d{1,1000}")
"""Not every text that `Fraction` takes: a submission could write one of a billion digits."""


class Difference(NamedTuple):
    """An observation of a submission that is not the right module's.

    | field | meaning |
    |---|---|
    | case | function of the witness |
    | number | of the observation in its case, from 0 |
    """

    case: str
    number: int


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


def differences(
    right: Observations, given: Observations | None
) -> Iterator[Difference]:
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
        place = next(
            (i for i, candidate in enumerate(rest) if same(pair, candidate)), None
        )
        if place is None:
            return False
        del rest[place]
    return True


def _number(value: Any) -> int | float | Fraction | None:
    """The number that a JSON value stands for, None for another one."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, dict) and len(value) == 1:
        try:
            if isinstance(text := value.get("float"), str):
                return float(text)
            if isinstance(text := value.get("int"), str):
                return int(text, 16)
            if isinstance(text := value.get("fraction"), str) and _FRACTION.fullmatch(
                text
            ):
                return Fraction(text)
        except (ValueError, ZeroDivisionError):
            return None
    return None
