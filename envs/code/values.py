"""Compares what two runs of `observe.py` wrote, on the side that no submission can reach.

Standard library only: the graders of exported tasks run this file in their containers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

__all__ = ["CLOSE", "Difference", "Observations", "cases", "differences", "same"]

Observations: TypeAlias = "Mapping[str, Sequence[Any]]"
"""Case -> what it gave, one JSON value for each observation."""

Number: TypeAlias = "int | float | Fraction"

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
    """The observations in an answer of `observe.py`; None if it does not have their form."""
    if not isinstance(answer, list):
        return None
    for row in answer:
        match row:
            case [str(), list()]:
                continue
        return None
    observations = dict(answer)
    # A case that comes twice could hide its first values.
    return observations if len(observations) == len(answer) else None


def differences(
    right: Observations,
    submitted: Observations | None,
) -> Iterator[Difference]:
    """Each observation in which a submission differs; every one if `submitted` is None."""
    if submitted is None:
        submitted = {}
    for case, expected in right.items():
        values = submitted.get(case, ())
        for number, value in enumerate(expected):
            is_missing = number >= len(values)
            if is_missing or not same(value, values[number]):
                yield Difference(case, number)
        if len(values) > len(expected):
            yield Difference(case, len(expected))


def same(left: Any, right: Any) -> bool:
    """Whether two values that `observe.encode` wrote are equal as Python's `==` has it.

    Floats may differ by `CLOSE`; the order of a dictionary does not count.
    """
    left_number = _number(left)
    right_number = _number(right)
    if left_number is not None and right_number is not None:
        return _same_number(left_number, right_number)
    # A number equals nothing but a number.
    if left_number is not None or right_number is not None:
        return False

    if isinstance(left, list) and isinstance(right, list):
        return _same_items(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return _same_object(left, right)
    return type(left) is type(right) and left == right


def _same_items(left: Sequence[Any], right: Sequence[Any]) -> bool:
    if len(left) != len(right):
        return False
    return all(map(same, left, right))


def _same_number(left: Number, right: Number) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    try:
        both_nan = math.isnan(left) and math.isnan(right)
        return both_nan or math.isclose(left, right, rel_tol=CLOSE, abs_tol=CLOSE)
    except OverflowError:
        # A submission may give a number beyond every float.
        return False


def _same_object(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """`observe.encode` writes objects of one key, so nothing else equals anything."""
    if left.keys() != right.keys() or len(left) != 1:
        return False
    ((kind, left_inner),) = left.items()
    (right_inner,) = right.values()
    if kind == "dict":
        return _same_pairs(left_inner, right_inner)
    return same(left_inner, right_inner)


def _same_pairs(left: Any, right: Any) -> bool:
    """Whether each pair of one dictionary has a partner of its own in the other."""
    if not isinstance(right, list) or len(left) != len(right):
        return False
    unmatched = list(right)
    for pair in left:
        for place, candidate in enumerate(unmatched):
            if same(pair, candidate):
                del unmatched[place]
                break
        else:
            return False
    return True


def _number(value: Any) -> Number | None:
    """The number that a JSON value stands for, None for another one."""
    if isinstance(value, bool | int):
        return int(value)
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((kind, text),) = value.items()
    if not isinstance(text, str):
        return None
    try:
        if kind == "float":
            return float(text)
        if kind == "int":
            return int(text, 16)
        if kind == "fraction" and _FRACTION.fullmatch(text):
            return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    return None
