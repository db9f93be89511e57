"""Formulas as nested JSON lists: sampled, evaluated exactly, and written in several ways.

A formula is a whole number or a list: `["+", left, right]` with one of + - * / %; `["gcd", ...]`
and `["lcm", ...]` of two or three formulas; `["poly", x, c_n, ..., c_0]`, a polynomial at x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from envs.math.calc import CalcError, apply

__all__ = [
    "Formula",
    "edits",
    "in_base",
    "in_words",
    "infix",
    "leaves",
    "random_formula",
    "value",
]

Formula = Any

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2}
_OPERATOR_WORDS = {
    "+": "plus",
    "-": "minus",
    "*": "times",
    "/": "divided by",
    "%": "modulo",
}
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
MAX_EDITED = 99
# Products of larger numbers cannot be computed in the head.
MAX_FACTOR = 12


def value(formula: Formula) -> Fraction:
    """The exact value. Raises CalcError when there is none, as for a division by zero."""
    if isinstance(formula, int):
        return Fraction(formula)
    name, *parts = formula
    values = [value(part) for part in parts]

    if name in _PRECEDENCE:
        left, right = values
        return apply(name, left, right)
    if name == "poly":
        x, *coefficients = values
        return _polynomial_at(x, coefficients)

    if any(v.denominator != 1 or v < 1 for v in values):
        raise CalcError(f"{name} takes whole numbers of 1 or more")
    function = math.gcd if name == "gcd" else math.lcm
    return Fraction(function(*[v.numerator for v in values]))


def _polynomial_at(x: Fraction, coefficients: Sequence[Fraction]) -> Fraction:
    """Horner's rule, with the limits of `apply` on every step."""
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        product = apply("*", total, x)
        total = apply("+", product, coefficient)
    return total


def random_formula(rng: Random, terms: int, operators: str, largest: int) -> Formula:
    """A random tree of `terms` numbers from 1 to `largest`; it may have no value."""
    if terms == 1:
        return rng.randint(1, largest)
    operator = rng.choice(operators)
    if operator == "*":
        largest = min(largest, MAX_FACTOR)

    # A modulus is a single number, as people write it.
    left_terms = terms - 1 if operator == "%" else rng.randint(1, terms - 1)
    left = random_formula(rng, left_terms, operators, largest)
    right = random_formula(rng, terms - left_terms, operators, largest)
    return [operator, left, right]


def leaves(formula: Formula) -> list[int]:
    """The numbers in it, from left to right."""
    if isinstance(formula, int):
        return [formula]
    numbers = []
    for part in formula[1:]:
        numbers += leaves(part)
    return numbers


def edits(formula: Formula) -> Iterator[Formula]:
    """The formula with one number changed to another of 1 to 99.

    The last number is changed first, and each to the nearest values first.
    """
    if isinstance(formula, int):
        yield from _nearest_numbers(formula)
        return
    for place in range(len(formula) - 1, 0, -1):
        before = formula[:place]
        after = formula[place + 1 :]
        for part in edits(formula[place]):
            yield [*before, part, *after]


def _nearest_numbers(number: int) -> list[int]:
    candidates = [n for n in range(1, MAX_EDITED + 1) if n != number]
    return sorted(candidates, key=lambda n: abs(n - number))


def infix(formula: Formula, number: Callable[[int], str] = str) -> str:
    """As people and Python write it, with the fewest parentheses; `p(x) = ...; p(3)` for a poly.

    `number` writes a single number.
    """
    if isinstance(formula, int):
        return number(formula)
    name, *parts = formula
    if name == "poly":
        x, *coefficients = parts
        return f"p(x) = {_polynomial(coefficients)}; p({infix(x)})"

    if name not in _PRECEDENCE:
        arguments = [infix(part, number) for part in parts]
        return f"{name}({', '.join(arguments)})"

    left = _operand(name, parts[0], 0, number)
    right = _operand(name, parts[1], 1, number)
    return f"{left} {name} {right}"


def in_words(formula: Formula) -> str:
    """With numbers of up to 99 and operators as English words."""
    tokens = infix(formula, _word).split(" ")
    return " ".join(_OPERATOR_WORDS.get(token, token) for token in tokens)


def in_base(formula: Formula, base: int) -> str:
    """With numbers in another base."""
    return infix(formula, lambda n: np.base_repr(n, base))


def _operand(
    operator: str,
    part: Formula,
    place: int,
    number: Callable[[int], str],
) -> str:
    """A side of an operation, in parentheses when it would be read otherwise without them.

    `place` is 0 for the left side and 1 for the right one.
    """
    text = infix(part, number)
    if isinstance(part, int) or part[0] not in _PRECEDENCE:
        return text
    # Operators group to the left, so an equal one on the right needs parentheses.
    binds_looser = _PRECEDENCE[part[0]] < _PRECEDENCE[operator] + place
    return f"({text})" if binds_looser else text


def _polynomial(coefficients: Sequence[int]) -> str:
    """`2x^2 - 3x + 1`; coefficients of 0 are left out."""
    degree = len(coefficients) - 1
    text = ""
    for place, coefficient in enumerate(coefficients):
        if coefficient == 0:
            continue
        if text:
            text += " - " if coefficient < 0 else " + "
        elif coefficient < 0:
            text += "-"
        text += _monomial(abs(coefficient), degree - place)
    return text


def _monomial(size: int, power: int) -> str:
    """`3x^2`, `x`, `5`."""
    if power == 0:
        return str(size)
    factor = "" if size == 1 else str(size)
    exponent = "" if power == 1 else f"^{power}"
    return f"{factor}x{exponent}"


def _word(number: int) -> str:
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    word = _TENS[tens - 2]
    return f"{word}-{_ONES[ones]}" if ones else word
