"""Families of reasoning-gym: how hard by level, and what the answer is by our own arithmetic.

A question is used only if both agree: `basic_arithmetic` rounds quotients down, and so is wrong
about one in thirty. Families without a single exact number for an answer (rounded decimals, guessed
sequences) are left out, and so is `fraction_simplification`, whose question has the value of its
answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from envs.math.calc import CalcError, evaluate
from envs.math.gym.wheel import dataset, legs

__all__ = ["HELD_OUT", "SEEN", "edits", "question_at", "solve", "whole_only"]

SEEN: Sequence[str] = (
    "basic_arithmetic",
    "chain_sum",
    "count_bits",
    "decimal_chain_sum",
    "gcd",
    "leg_counting",
    "products",
    "simple_equations",
)
HELD_OUT: Sequence[str] = ("count_primes", "dice", "lcm")
# Made harder by more terms; the others by larger or more numbers.
_BY_TERMS = (
    "basic_arithmetic",
    "chain_sum",
    "decimal_chain_sum",
    "products",
    "simple_equations",
)
_FRACTIONAL = ("decimal_chain_sum", "dice")

MAX_OPERATIONS = 40
MAX_STEP = 40
_DIGITS = re.compile(r"[0-9]+")


def whole_only(names: Sequence[str]) -> Sequence[str]:
    """The families among `names` whose answers are whole numbers."""
    return [name for name in names if name not in _FRACTIONAL]


def question_at(
    name: str,
    level: int,
    hard: bool,
    index: int,
) -> tuple[str, Fraction] | None:
    """A question of a family, and its answer according to reasoning-gym; None when that fails."""
    try:
        item = _generator(name, level, hard)[index]
    except ZeroDivisionError:
        # basic_arithmetic evaluates its random expression, which may divide by 0.
        return None
    question = item["question"].strip()
    return question, Fraction(item["answer"])


@cache
def _generator(name: str, level: int, hard: bool) -> Any:
    return dataset(name, **_settings(name, level, hard))


def _settings(name: str, level: int, hard: bool) -> Mapping[str, Any]:
    """The family's own parameters; hard ones begin beyond those of the last level."""
    if name in _BY_TERMS:
        return _term_settings(level, hard)[name]
    return _size_settings(level, hard)[name]


def _term_settings(level: int, hard: bool) -> Mapping[str, Mapping[str, int]]:
    """For families whose questions are long expressions."""
    count = 2 + level + 6 * hard
    terms = {"min_terms": count, "max_terms": count}
    digits = {"min_digits": 1, "max_digits": 1 + (level + 1) // 2}
    places = {"min_decimal_places": 1, "max_decimal_places": 1 + level // 2}
    few_digits = {"min_digits": 1, "max_digits": 1 + (level > 1)}
    return {
        "basic_arithmetic": terms | few_digits,
        "chain_sum": terms | digits,
        "decimal_chain_sum": terms | digits | places,
        "simple_equations": {**terms, "max_value": 10 + 10 * level},
        "products": {
            "min_terms": 4 if hard else 2,
            "max_terms": 5 if hard else 2 + level // 3,
            "min_digits": 1 + level // 3,
            "max_digits": 1 + (level + 1) // 2,
        },
    }


def _size_settings(level: int, hard: bool) -> Mapping[str, Mapping[str, int]]:
    """For families whose questions hold larger or more numbers."""
    more = level + 6 * hard
    few = 3 + level // 2 if hard else 2
    return {
        "count_bits": {
            "min_n": 2 ** (20 * hard),
            "max_n": 2 ** (9 + 2 * more),
        },
        "count_primes": {
            "min_n": 1,
            "max_n": 40 * 3**level,
        },
        "dice": {
            "num_dice": 2 + level // 2,
            "max_dice_size": 6 + 2 * level,
        },
        "gcd": {
            "min_numbers": few,
            "max_numbers": few,
            "max_value": 60 * 4**level,
        },
        "lcm": {
            "min_numbers": 2,
            "max_numbers": 2 + level // 2,
            "max_value": 12 + 12 * level,
        },
        "leg_counting": {
            "min_animals": 1 + more,
            "max_animals": 2 + more,
            "max_instances": 6 + 2 * level,
        },
    }


def solve(name: str, question: str) -> Fraction | None:
    """The exact answer from the question's text alone; None when it has none or is too large."""
    try:
        answer = _SOLVERS[name](question)
    except CalcError:
        return None
    return None if answer is None else Fraction(answer)


def edits(question: str, steps: Sequence[int] = range(1, MAX_STEP)) -> Iterator[str]:
    """The question with one of its numbers larger or smaller by a step."""
    for step in steps:
        for match in _DIGITS.finditer(question):
            before = question[: match.start()]
            after = question[match.end() :]
            # Behind a point the zeros in front count: 0.05 becomes 0.06.
            width = len(match[0]) if before.endswith(".") else 0
            number = int(match[0])
            for edited in (number + step, number - step):
                if edited > 0:
                    yield before + str(edited).zfill(width) + after


def _expression(pattern: str) -> Callable[[str], Fraction | None]:
    find = re.compile(pattern).search

    def solver(question: str) -> Fraction | None:
        """The value of the expression that the pattern matches."""
        match = find(question)
        if match is None:
            return None
        return evaluate(match[1], max_operations=MAX_OPERATIONS)

    return solver


def _equation(question: str) -> Fraction | None:
    """The root of a linear equation, from the left side's values at 0 and 1."""
    sides = re.search(r": ([^:=]+) = ([^=]+)$", question)
    if sides is None:
        return None
    left, right = sides.groups()
    name = re.search(r"[a-z]", left)
    if name is None:
        return None

    at_0 = _value_at(left, name[0], 0)
    at_1 = _value_at(left, name[0], 1)
    slope = at_1 - at_0
    if slope == 0:
        return None
    return (evaluate(right) - at_0) / slope


def _value_at(expression: str, name: str, x: int) -> Fraction:
    return evaluate(
        expression,
        names={name: Fraction(x)},
        max_operations=MAX_OPERATIONS,
    )


def _of_numbers(function: Callable[..., int]) -> Callable[[str], int | None]:
    def solver(question: str) -> int | None:
        """The function's value for the numbers of the question."""
        match = re.search(r"numbers: ([0-9, ]+)", question)
        if match is None:
            return None
        numbers = [int(digits) for digits in match[1].split(",")]
        return function(*numbers)

    return solver


def _bits(question: str) -> int | None:
    match = re.search(r"of the number ([0-9]+)\?", question)
    return int(match[1]).bit_count() if match else None


def _legs(question: str) -> int | None:
    legs_by_animal = legs()
    total = 0
    for count, animal in re.findall(r"([0-9]+) ([a-z ]+)", question):
        name = animal
        if name not in legs_by_animal:
            name = animal.removesuffix("s")
        if name not in legs_by_animal:
            return None
        total += int(count) * legs_by_animal[name]
    return total


def _primes(question: str) -> int | None:
    match = re.search(r"between ([0-9]+) and ([0-9]+) \(inclusive\)", question)
    if match is None:
        return None
    first = int(match[1])
    last = int(match[2])
    if first > last:
        return None
    return sum(_is_prime(number) for number in range(first, last + 1))


def _is_prime(number: int) -> bool:
    divisors = range(2, math.isqrt(number) + 1)
    return number > 1 and all(number % divisor for divisor in divisors)


def _odds(question: str) -> Fraction | None:
    """The share of the throws that reach the target."""
    match = re.search(
        r"dice: (.+?)\. What are the odds of rolling ([0-9]+) or", question
    )
    if match is None:
        return None
    target = int(match[2])
    ways = {0: 1}
    for count, sides in re.findall(r"([0-9]+)d([0-9]+)", match[1]):
        for _ in range(int(count)):
            ways = _with_one_die_more(ways, int(sides))

    reached = sum(number for total, number in ways.items() if total >= target)
    return Fraction(reached, sum(ways.values()))


def _with_one_die_more(ways: Mapping[int, int], sides: int) -> dict[int, int]:
    """By total, in how many ways the dice of `ways` and one more throw it."""
    sums: dict[int, int] = {}
    for total, number in ways.items():
        for face in range(1, sides + 1):
            sums[total + face] = sums.get(total + face, 0) + number
    return sums


_SOLVERS: Mapping[str, Callable[[str], Fraction | int | None]] = {
    "basic_arithmetic": _expression(r"^Calculate (.+)\.$"),
    "chain_sum": _expression(r"problem: (.+) =$"),
    "count_bits": _bits,
    "count_primes": _primes,
    "decimal_chain_sum": _expression(r"problem: (.+) =$"),
    "dice": _odds,
    "gcd": _of_numbers(math.gcd),
    "lcm": _of_numbers(math.lcm),
    "leg_counting": _legs,
    "products": _expression(r"multiplication: (.+)\. Give"),
    "simple_equations": _equation,
}
