"""Families of reasoning-gym: how hard by level, and what the answer is by our own arithmetic.

A question is taken only where both agree: `basic_arithmetic` rounds quotients down, and so is wrong
about one in thirty. Left out is what has no single exact number for an answer (rounded decimals,
guessed sequences), and `fraction_simplification`, whose question has the value of its answer.
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

__all__ = ["HELD_OUT", "SEEN", "asked", "edits", "solved", "whole_only"]

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
_FRACTIONAL = ("decimal_chain_sum", "dice")

MOST_OPERATIONS = 40
MOST_STEP = 40
_DIGITS = re.compile(r"[0-9]+")


def whole_only(names: Sequence[str]) -> Sequence[str]:
    """Those of the families whose answers are whole numbers."""
    return [name for name in names if name not in _FRACTIONAL]


def asked(name: str, level: int, hard: bool, index: int) -> tuple[str, Fraction] | None:
    """A question of a family, and its answer as reasoning-gym has it; None where it fails."""
    try:
        item = _generator(name, level, hard)[index]
    except ZeroDivisionError:
        # basic_arithmetic computes what it has drawn, and may have drawn a divisor of 0.
        return None
    return item["question"].strip(), Fraction(item["answer"])


@cache
def _generator(name: str, level: int, hard: bool) -> Any:
    return dataset(name, **_settings(name, level, hard))


def _settings(name: str, level: int, hard: bool) -> Mapping[str, Any]:
    """The family's own parameters; harder ones begin behind those of the last level."""
    more = level + 6 * hard
    digits = {"min_digits": 1, "max_digits": 1 + (level + 1) // 2}
    places = {"min_decimal_places": 1, "max_decimal_places": 1 + level // 2}
    terms = {"min_terms": 2 + more, "max_terms": 2 + more}
    few = 3 + level // 2 if hard else 2
    return {
        "basic_arithmetic": {**terms, "min_digits": 1, "max_digits": 1 + (level > 1)},
        "chain_sum": terms | digits,
        "count_bits": {"min_n": 2 ** (20 * hard), "max_n": 2 ** (9 + 2 * more)},
        "count_primes": {"min_n": 1, "max_n": 40 * 3**level},
        "decimal_chain_sum": terms | digits | places,
        "dice": {"num_dice": 2 + level // 2, "max_dice_size": 6 + 2 * level},
        "gcd": {"min_numbers": few, "max_numbers": few, "max_value": 60 * 4**level},
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
        "products": {
            "min_terms": 4 if hard else 2,
            "max_terms": 5 if hard else 2 + level // 3,
            "min_digits": 1 + level // 3,
            "max_digits": 1 + (level + 1) // 2,
        },
        "simple_equations": {
            "min_terms": 2 + more,
            "max_terms": 2 + more,
            "max_value": 10 + 10 * level,
        },
    }[name]


def solved(name: str, question: str) -> Fraction | None:
    """The exact answer from the question's text alone; None where it has none or is too large."""
    try:
        found = _SOLVERS[name](question)
    except CalcError:
        return None
    return None if found is None else Fraction(found)


def edits(question: str, steps: Sequence[int] = range(1, MOST_STEP)) -> Iterator[str]:
    """The question with one of its numbers larger or smaller by a step."""
    for step in steps:
        for place in _DIGITS.finditer(question):
            for other in (int(place[0]) + step, int(place[0]) - step):
                if other > 0:
                    decimal = question[: place.start()].endswith(".")
                    text = str(other).zfill(len(place[0]) if decimal else 0)
                    yield question[: place.start()] + text + question[place.end() :]


def _expression(pattern: str) -> Callable[[str], Fraction | None]:
    find = re.compile(pattern).search

    def solve(question: str) -> Fraction | None:
        found = find(question)
        return evaluate(found[1], max_operations=MOST_OPERATIONS) if found else None

    return solve


def _equation(question: str) -> Fraction | None:
    """The root of a linear equation, from the left side's values at 0 and 1."""
    found = re.search(r": ([^:=]+) = ([^=]+)$", question)
    name = re.search(r"[a-z]", found[1]) if found else None
    if found is None or name is None:
        return None
    at_0, at_1 = (
        evaluate(found[1], names={name[0]: Fraction(x)}, max_operations=MOST_OPERATIONS)
        for x in (0, 1)
    )
    return (evaluate(found[2]) - at_0) / (at_1 - at_0) if at_0 != at_1 else None


def _of_numbers(function: Callable[..., int]) -> Callable[[str], int | None]:
    def solve(question: str) -> int | None:
        found = re.search(r"numbers: ([0-9, ]+)", question)
        return function(*map(int, found[1].split(","))) if found else None

    return solve


def _bits(question: str) -> int | None:
    found = re.search(r"of the number ([0-9]+)\?", question)
    return int(found[1]).bit_count() if found else None


def _legs(question: str) -> int | None:
    known = legs()
    total = 0
    for count, animal in re.findall(r"([0-9]+) ([a-z ]+)", question):
        name = animal if animal in known else animal.removesuffix("s")
        if name not in known:
            return None
        total += int(count) * known[name]
    return total


def _primes(question: str) -> int | None:
    found = re.search(r"between ([0-9]+) and ([0-9]+) \(inclusive\)", question)
    first, last = (int(found[1]), int(found[2])) if found else (1, 0)
    return sum(map(_is_prime, range(first, last + 1))) if first <= last else None


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))


def _odds(question: str) -> Fraction | None:
    """The share of the throws that reach the target."""
    found = re.search(
        r"dice: (.+?)\. What are the odds of rolling ([0-9]+) or", question
    )
    if found is None:
        return None
    ways = {0: 1}
    for count, sides in re.findall(r"([0-9]+)d([0-9]+)", found[1]):
        for _ in range(int(count)):
            thrown: dict[int, int] = {}
            for total, number in ways.items():
                for face in range(1, int(sides) + 1):
                    thrown[total + face] = thrown.get(total + face, 0) + number
            ways = thrown
    reached = sum(number for total, number in ways.items() if total >= int(found[2]))
    return Fraction(reached, sum(ways.values()))


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
