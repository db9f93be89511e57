"""Formulas as nested JSON lists: drawn at random, valued exactly, written in several ways.

A formula is a whole number or a list: `["+", left, right]` with one of + - * / %; `["gcd", ...]`
and `["lcm", ...]` of two or three formulas; `["poly", x, c_n, ..., c_0]`, a polynomial at x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import reduce
from random import Random
from typing import Any

import numpy as np

from envs.math.calc import CalcError, apply

__all__ = [
    "Formula",
    "drawn",
    "edits",
    "in_base",
    "in_words",
    "leaves",
    "value",
    "written",
]

Formula = Any

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2}
_SPOKEN = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "%": "modulo"}
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
MOST_EDITED = 99
# Products of larger numbers are no head work.
MOST_FACTOR = 12


def value(formula: Formula) -> Fraction:
    """The exact value. Raises CalcError where there is none, as for a division by zero."""
    if isinstance(formula, int):
        return Fraction(formula)
    name, *parts = formula
    values = [value(part) for part in parts]
    if name in _PRECEDENCE:
        return apply(name, *values)
    if name == "poly":
        x, *coefficients = values
        return reduce(
            lambda so_far, c: apply("+", apply("*", so_far, x), c), coefficients
        )
    if any(v.denominator != 1 or v < 1 for v in values):
        raise CalcError(f"{name} takes whole numbers of 1 or more")
    function = math.gcd if name == "gcd" else math.lcm
    return Fraction(function(*(v.numerator for v in values)))


def drawn(rng: Random, terms: int, operators: str, most: int) -> Formula:
    """A random tree of so many numbers from 1 to `most`; it may have no value."""
    if terms == 1:
        return rng.randint(1, most)
    operator = rng.choice(operators)
    if operator == "*":
        most = min(most, MOST_FACTOR)
    # A modulus is a plain number, as people write it.
    left = terms - 1 if operator == "%" else rng.randint(1, terms - 1)
    return [
        operator,
        drawn(rng, left, operators, most),
        drawn(rng, terms - left, operators, most),
    ]


def leaves(formula: Formula) -> list[int]:
    """The numbers in it, from left to right."""
    if isinstance(formula, int):
        return [formula]
    return [leaf for part in formula[1:] for leaf in leaves(part)]


def edits(formula: Formula) -> Iterator[Formula]:
    """The formula with one number changed, to each of 1 to 99, the last number first."""
    if isinstance(formula, int):
        near = sorted(range(1, MOST_EDITED + 1), key=lambda other: abs(other - formula))
        yield from (other for other in near if other != formula)
        return
    for place in range(len(formula) - 1, 0, -1):
        for part in edits(formula[place]):
            yield [*formula[:place], part, *formula[place + 1 :]]


def written(formula: Formula, number: Callable[[int], str] = str) -> str:
    """As people and Python write it, with the fewest parentheses; `p(x) = ...; p(3)` for a poly."""
    if isinstance(formula, int):
        return number(formula)
    name, *parts = formula
    if name == "poly":
        x, *coefficients = parts
        return f"p(x) = {_polynomial(coefficients)}; p({written(x)})"
    if name not in _PRECEDENCE:
        return f"{name}({', '.join(written(part, number) for part in parts)})"
    left, right = (
        _operand(name, part, place, number) for place, part in enumerate(parts)
    )
    return f"{left} {name} {right}"


def in_words(formula: Formula) -> str:
    """With numbers of up to 99 and operators as English words."""
    return " ".join(
        _SPOKEN.get(token, token) for token in written(formula, _word).split(" ")
    )


def in_base(formula: Formula, base: int) -> str:
    """With numbers in another base."""
    return written(formula, lambda n: np.base_repr(n, base))


def _operand(
    operator: str, part: Formula, place: int, number: Callable[[int], str]
) -> str:
    """A side of an operation, in parentheses where the other reading would win."""
    text = written(part, number)
    if isinstance(part, int) or part[0] not in _PRECEDENCE:
        return text
    # Operators group to the left, so an equal one on the right needs them.
    loose = _PRECEDENCE[part[0]] < _PRECEDENCE[operator] + place
    return f"({text})" if loose else text


def _polynomial(coefficients: Sequence[int]) -> str:
    """`2x^2 - 3x + 1`; coefficients of 0 are left out."""
    degree = len(coefficients) - 1
    found = ""
    for place, c in enumerate(coefficients):
        power = degree - place
        if c == 0:
            continue
        sign = ("-" if c < 0 else "") if not found else (" - " if c < 0 else " + ")
        size = "" if abs(c) == 1 and power else str(abs(c))
        found += sign + size + ("", "x")[power > 0] + (f"^{power}" if power > 1 else "")
    return found


def _word(number: int) -> str:
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
