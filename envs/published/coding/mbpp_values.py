"""When a value is right in MBPP+: EvalPlus' rules (version 0.3.1), on values of another process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["UNREADABLE", "ValueRules", "value_of"]

FLOAT_TOLERANCE = 1e-6
RELATIVE_TOLERANCE = 1e-7
NOT_NONE = frozenset(["check_str", "text_match_three", "text_starta_endb"])
"""Functions that give a match or None; a boolean is taken, too."""
AS_SETS = frozenset(
    [
        "similar_elements",
        "find_char_long",
        "common_in_nested_lists",
        "extract_singly",
        "larg_nnum",
        "intersection_array",
        "find_dissimilar",
        "Diff",
    ]
)
"""Functions whose values are compared as sets."""

UNREADABLE = object()
"""Stands for what raised, and for an object that is not plain; it equals nothing."""


def value_of(written: Any) -> Any:
    """The plain value that `envs.code.observe` wrote, or `UNREADABLE`.

    What a submission's process sent may be any JSON value.
    """
    try:
        return _decode(written)
    except (TypeError, ValueError, RecursionError):
        return UNREADABLE


def _decode(written: Any) -> Any:
    if isinstance(written, list):
        return [_decode(item) for item in written]
    if not isinstance(written, dict):
        return written
    # ValueError for an object of more keys.
    ((kind, inner),) = written.items()
    match kind:
        case "tuple":
            return tuple(_decode(inner))
        case "set":
            return set(_decode(inner))
        case "dict":
            return {_decode(key): _decode(item) for key, item in inner}
        case "int":
            return int(inner, 16)
        case "float":
            return float(inner)
        case "complex":
            return complex(inner)
        case "bytes":
            return bytes.fromhex(inner)
        case "object":
            # Such as a match, of which only that it is there counts.
            return object()
    return UNREADABLE


class ValueRules:
    """The rules of one function, for its calls in their order.

    | argument | meaning |
    |---|---|
    | entry | the function's name |
    | tolerance | absolute; 0: of floats 1e-6, and from the first of them on of all values |
    """

    def __init__(self, entry: str, tolerance: float) -> None:
        self._entry = entry
        self._tolerance = tolerance

    def is_right(self, arguments: Sequence[Any], expected: Any, value: Any) -> bool:
        """Whether the next call's value is right; `expected` is the canonical solution's."""
        if value is UNREADABLE:
            return False
        try:
            return self._is_right(arguments, expected, value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            # Of another kind than what is expected: no set, no numbers.
            return False

    def _is_right(self, arguments: Sequence[Any], expected: Any, value: Any) -> bool:
        if self._entry in NOT_NONE:
            has_value = value if isinstance(value, bool) else value is not None
            return has_value == (expected is not None)
        if self._entry in AS_SETS:
            return set(value) == set(expected)
        exact = bool(value == expected) or self._is_also_right(arguments, value)

        if not self._tolerance and _is_floats(expected):
            self._tolerance = FLOAT_TOLERANCE
        if exact or not self._tolerance:
            return exact
        return self._is_close(expected, value)

    def _is_also_right(self, arguments: Sequence[Any], value: Any) -> bool:
        """Whether EvalPlus takes a value that is not the canonical solution's."""
        match self._entry:
            case "are_equivalent":
                return True
            case "sum_div":
                return bool(value == 0)
            case "surface_Area":
                area = _pyramid_surface(*arguments)
                return abs(value - area) <= self._tolerance
            case "digit_distance_nums":
                return bool(value == _digit_distance(*arguments))
        return False

    def _is_close(self, expected: Any, value: Any) -> bool:
        if type(value) is not type(expected):
            return False
        if isinstance(expected, list | tuple) and len(value) != len(expected):
            return False
        return bool(
            np.allclose(value, expected, rtol=RELATIVE_TOLERANCE, atol=self._tolerance)
        )


def _is_floats(value: Any) -> bool:
    """Whether it is a float or a list or tuple of them, and not empty."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _pyramid_surface(edge: float, height: float) -> int:
    """Of a pyramid on a square, whose height is taken as its apex' over the square."""
    slant = math.sqrt((edge / 2) ** 2 + height**2)
    return round(edge**2 + 2 * edge * slant)


def _digit_distance(left: int, right: int) -> int:
    """The sum of the differences of the digits, of numbers with zeros in front."""
    texts = [str(left), str(right)]
    width = max(map(len, texts))
    pairs = zip(*(text.zfill(width) for text in texts), strict=True)
    return sum(abs(int(one) - int(other)) for one, other in pairs)
