"""Puzzles that are searched, not computed: countdown, water jugs, hidden functions."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

from envs.math.calc import CalcError, evaluate

__all__ = [
    "IN_ORDER",
    "POURS",
    "Puzzle",
    "countdown",
    "grown",
    "hidden",
    "hidden_value",
    "in_order",
    "joined",
    "judged",
    "jugs",
    "jugs_path",
    "never_held",
    "only_ways",
    "other_argument",
    "poured",
]

Puzzle = dict[str, Any]

MOST = 999
JUG_LITRES, SMALL_JUG_LITRES = 16, 10
# Beyond what can be probed.
ASKED_FROM, ASKED_TO = 11, 40
IN_ORDER = "+-*"
POURS = ("fill", "empty", "pour")

_JOINS = re.compile("[-+*/\u00d7\u00f7\u2212]")
_NUMBER = re.compile(r"[0-9.]+")


def judged(expression: str, puzzle: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether an expression solves a countdown, and what to say of it.

    It must use every number once, joined by + - * / alone; where the order is fixed, in that order,
    without parentheses and without /.
    """
    numbers, target = puzzle["numbers"], puzzle["target"]
    try:
        value = evaluate(expression, max_operations=len(numbers) - 1)
        used = [Fraction(found) for found in _NUMBER.findall(expression)]
    except (CalcError, ValueError) as error:
        return False, str(error)
    wanted = list(map(Fraction, numbers))
    if puzzle["ordered"] and (used != wanted or re.search(r"[()/\u00f7]", expression)):
        return False, f"write {' ? '.join(map(str, numbers))} with +, - or * for each ?"
    # As many numbers as wanted have one join fewer, so one more is a sign or a power.
    if (
        sorted(used) != sorted(wanted)
        or len(_JOINS.findall(expression)) != len(numbers) - 1
    ):
        listed = ", ".join(map(str, numbers))
        return False, f"use each of {listed} once, joined by + - * / and nothing else"
    return value == target, f"{expression.strip()} = {value}, not {target}"


def in_order(numbers: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Every expression of the numbers in this order with + - *, and its value."""
    for signs in itertools.product(IN_ORDER, repeat=len(numbers) - 1):
        terms = [numbers[0]]
        for sign, number in zip(signs, numbers[1:], strict=True):
            if sign == "*":
                terms[-1] *= number
            else:
                terms.append(number if sign == "+" else -number)
        yield joined(numbers, signs), sum(terms)


def only_ways(numbers: Sequence[int]) -> dict[int, str]:
    """The values that one expression of the numbers in this order has alone, from 1 to 999."""
    ways = list(in_order(numbers))
    often = Counter(value for _, value in ways)
    return {
        value: text for text, value in ways if often[value] == 1 and 1 <= value <= MOST
    }


def joined(numbers: Sequence[int], signs: Sequence[str]) -> str:
    """`8 + 3 * 2`."""
    rest = (
        f" {sign} {number}" for sign, number in zip(signs, numbers[1:], strict=True)
    )
    return str(numbers[0]) + "".join(rest)


def countdown(
    rng: Random,
    numbers: Sequence[int],
    *,
    ordered: bool,
    signs: str,
    wanted: int | None = None,
) -> Puzzle | None:
    """A target that the numbers make, `wanted` if any, and an expression that does.

    None where the draw fails. In order, no other signs make the target. Out of order, every step
    on the way is a whole positive number.
    """
    if ordered:
        ways = only_ways(numbers)
        # The twin wants another one.
        found = rng.choice(sorted(ways.items())) if len(ways) > 1 else None
    else:
        found = grown(rng, numbers, signs)
    if found is None or wanted not in (None, found[0]):
        return None
    target, solution = found
    return {
        "kind": "countdown",
        "numbers": list(numbers),
        "target": target,
        "ordered": ordered,
        "solution": solution,
    }


def grown(rng: Random, numbers: Sequence[int], signs: str) -> tuple[int, str] | None:
    """The value of a random expression of all numbers, and the expression.

    None where a step leaves the whole positive numbers, or is too large.
    """
    parts = [(str(number), number) for number in numbers]
    while len(parts) > 1:
        (left, a), (right, b) = (parts.pop(rng.randrange(len(parts))) for _ in range(2))
        sign = rng.choice(signs)
        if sign == "/" and (b < 2 or a % b):
            return None
        value = {"+": a + b, "-": a - b, "*": a * b, "/": a // max(1, b)}[sign]
        if not 1 <= value <= MOST:
            return None
        parts.append((f"({left} {sign} {right})", value))
    ((expression, value),) = parts
    return value, expression[1:-1]


def poured(
    sizes: Sequence[int], litres: Sequence[int], move: Sequence[Any]
) -> list[int]:
    """What the jugs hold after `(fill, jug)`, `(empty, jug)` or `(pour, from, to)`."""
    after = list(litres)
    place = sizes.index(move[1])
    if move[0] == "fill":
        after[place] = sizes[place]
    elif move[0] == "empty":
        after[place] = 0
    else:
        other = sizes.index(move[2])
        amount = min(after[place], sizes[other] - after[other])
        after[place] -= amount
        after[other] += amount
    return after


def _moves(sizes: Sequence[int]) -> list[tuple[Any, ...]]:
    one = [(kind, size) for size in sizes for kind in POURS[:2]]
    return [*one, *(("pour", a, b) for a, b in itertools.permutations(sizes, 2))]


@cache
def jugs_path(sizes: tuple[int, ...]) -> Mapping[int, list[tuple[Any, ...]]]:
    """For each amount that a jug can come to hold, a shortest list of moves from empty jugs."""
    start = tuple(0 for _ in sizes)
    paths: dict[tuple[int, ...], list[tuple[Any, ...]]] = {start: []}
    amounts: dict[int, list[tuple[Any, ...]]] = {0: []}
    queue = [start]
    for state in queue:
        for move in _moves(sizes):
            after = tuple(poured(sizes, state, move))
            if after not in paths:
                paths[after] = [*paths[state], move]
                queue.append(after)
                for amount in after:
                    amounts.setdefault(amount, paths[after])
    return amounts


def jugs(rng: Random, count: int, shortest: int, longest: int) -> Puzzle:
    """Jugs and an amount that takes between so many and so many moves."""
    while True:
        most = JUG_LITRES if count == 2 else SMALL_JUG_LITRES
        sizes = tuple(sorted(rng.sample(range(2, most + 1), count), reverse=True))
        paths = jugs_path(sizes)
        targets = [n for n, path in paths.items() if shortest <= len(path) <= longest]
        target = rng.choice(targets) if targets else None
        # The twin wants another amount, which these moves never make.
        if target and never_held(sizes, target):
            return {"kind": "jugs", "sizes": list(sizes), "target": target}


def never_held(sizes: tuple[int, ...], target: int) -> list[int]:
    """Amounts that no jug holds on the shortest way to the target, the nearest first."""
    paths, litres, held = jugs_path(sizes), [0] * len(sizes), {0}
    for move in paths[target]:
        litres = poured(sizes, litres, move)
        held.update(litres)
    return sorted(paths.keys() - held, key=lambda amount: (len(paths[amount]), amount))


def hidden(rng: Random, degree: int, top: int, choices: int = 0) -> Puzzle:
    """A polynomial with whole coefficients, lowest first; its degree 0 stands for x + b.

    With `choices`, the values of so many functions x + b are listed, of which it is one.
    """
    lead = [rng.choice([-1, 1]) * rng.randint(2, top)] if degree else [1]
    middle = [rng.randint(-top, top) for _ in range(max(0, degree - 1))]
    coefficients = [rng.randint(-top, top), *middle, *lead]
    known, asked = rng.randint(-9, 9), rng.randint(ASKED_FROM, ASKED_TO)
    puzzle = {
        "kind": "hidden",
        "coefficients": coefficients,
        "known": known,
        "asked": asked,
    }
    if not choices:
        return puzzle
    bs = rng.sample(range(-top, top + 1), choices)
    # Far enough from 0 for a twin: every listed value is also one of another argument from 11.
    asked += 2 * top
    return {
        **puzzle,
        "coefficients": [rng.choice(bs), 1],
        "asked": asked,
        "choices": [asked + b for b in bs],
    }


def other_argument(puzzle: Mapping[str, Any]) -> int:
    """The nearest argument that cannot be probed with another value, a listed one if any are."""
    coefficients, asked = puzzle["coefficients"], puzzle["asked"]
    known, listed = hidden_value(coefficients, asked), puzzle.get("choices")

    def another(value: int) -> bool:
        return value != known and (not listed or value in listed)

    near = (asked + sign * step for step in itertools.count(1) for sign in (1, -1))
    return next(
        x for x in near if x >= ASKED_FROM and another(hidden_value(coefficients, x))
    )


def hidden_value(coefficients: Sequence[int], x: int) -> int:
    """f(x)."""
    return sum(c * x**power for power, c in enumerate(coefficients))
