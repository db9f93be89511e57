"""Puzzles that take search: countdown, water jugs, hidden polynomials."""

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
    "in_order",
    "join",
    "jug_puzzle",
    "jugs_path",
    "judge",
    "litres_after",
    "unreachable_amounts",
    "only_ways",
    "other_argument",
    "polynomial_puzzle",
    "polynomial_value",
    "random_expression",
]

Puzzle = dict[str, Any]

MAX_VALUE = 999
MAX_JUG_LITRES, MAX_SMALL_JUG_LITRES = 16, 10
# Beyond the arguments that can be probed.
MIN_ASKED, MAX_ASKED = 11, 40
IN_ORDER = "+-*"
POURS = ("fill", "empty", "pour")

_JOINS = re.compile("[-+*/\u00d7\u00f7\u2212]")
_NUMBER = re.compile(r"[0-9.]+")


def judge(expression: str, puzzle: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether an expression solves a countdown, and the reply to it if it does not.

    It must use every number once, joined by + - * / alone. If the puzzle fixes the order, it must
    keep that order, without parentheses and without /.
    """
    numbers = puzzle["numbers"]
    try:
        value = evaluate(expression, max_operations=len(numbers) - 1)
        used = [Fraction(digits) for digits in _NUMBER.findall(expression)]
    except (CalcError, ValueError) as error:
        return False, str(error)

    required = [Fraction(number) for number in numbers]
    if puzzle["ordered"]:
        # Parentheses and / would make more ways than the one that the puzzle promises.
        others = re.search(r"[()/\u00f7]", expression)
        if others or used != required:
            gaps = " ? ".join(map(str, numbers))
            return False, f"write {gaps} with +, - or * for each ?"

    # The right numbers have one join fewer, so one more is a sign or a power.
    joins = _JOINS.findall(expression)
    complete = sorted(used) == sorted(required)
    if not complete or len(joins) != len(numbers) - 1:
        listed = ", ".join(map(str, numbers))
        return False, f"use each of {listed} once, joined by + - * / and nothing else"

    target = puzzle["target"]
    reply = f"{expression.strip()} = {value}, not {target}"
    return value == target, reply


def in_order(numbers: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Every expression of the numbers in this order with + - *, and its value."""
    first, *rest = numbers
    for signs in itertools.product(IN_ORDER, repeat=len(rest)):
        # A product belongs to one term, so the value is the sum of the terms.
        terms = [first]
        for sign, number in zip(signs, rest, strict=True):
            if sign == "*":
                terms[-1] *= number
            elif sign == "+":
                terms.append(number)
            else:
                terms.append(-number)
        yield join(numbers, signs), sum(terms)


def only_ways(numbers: Sequence[int]) -> dict[int, str]:
    """By value from 1 to 999, the only expression in this order that has it.

    Values that several expressions have are left out.
    """
    ways = list(in_order(numbers))
    counts = Counter(value for _, value in ways)
    only = {}
    for text, value in ways:
        if counts[value] == 1 and 1 <= value <= MAX_VALUE:
            only[value] = text
    return only


def join(numbers: Sequence[int], signs: Sequence[str]) -> str:
    """The numbers with a sign between each two: `8 + 3 * 2`."""
    text = str(numbers[0])
    for sign, number in zip(signs, numbers[1:], strict=True):
        text += f" {sign} {number}"
    return text


def countdown(
    rng: Random,
    numbers: Sequence[int],
    *,
    ordered: bool,
    signs: str,
    target: int | None = None,
) -> Puzzle | None:
    """A value that the numbers make, `target` if any, and an expression that does.

    In order, no other signs make it. Out of order, every step on the way is a whole positive
    number. None when the draw fails: it is then to be repeated with other numbers.
    """
    way = _only_way(rng, numbers) if ordered else random_expression(rng, numbers, signs)
    if way is None:
        return None
    value, solution = way
    if target is not None and value != target:
        return None
    return {
        "kind": "countdown",
        "numbers": list(numbers),
        "target": value,
        "ordered": ordered,
        "solution": solution,
    }


def _only_way(rng: Random, numbers: Sequence[int]) -> tuple[int, str] | None:
    ways = only_ways(numbers)
    # The twin needs another one.
    if len(ways) < 2:
        return None
    return rng.choice(sorted(ways.items()))


def random_expression(
    rng: Random, numbers: Sequence[int], signs: str
) -> tuple[int, str] | None:
    """The value of a random expression of all numbers, and the expression.

    None when a step leaves the whole positive numbers, or is too large.
    """
    parts = [(str(number), number) for number in numbers]
    while len(parts) > 1:
        place = rng.randrange(len(parts))
        left, a = parts.pop(place)
        place = rng.randrange(len(parts))
        right, b = parts.pop(place)
        sign = rng.choice(signs)
        value = _countdown_step(a, sign, b)
        if value is None:
            return None
        parts.append((f"({left} {sign} {right})", value))

    expression, value = parts[0]
    # The outermost parentheses say nothing.
    return value, expression[1:-1]


def _countdown_step(a: int, sign: str, b: int) -> int | None:
    """The result if it is a whole number from 1 to 999, else None."""
    if sign == "+":
        value = a + b
    elif sign == "-":
        value = a - b
    elif sign == "*":
        value = a * b
    elif b < 2 or a % b:
        return None
    else:
        value = a // b
    return value if 1 <= value <= MAX_VALUE else None


def litres_after(
    sizes: Sequence[int],
    litres: Sequence[int],
    move: Sequence[Any],
) -> list[int]:
    """What the jugs hold after `(fill, jug)`, `(empty, jug)` or `(pour, from, to)`."""
    after = list(litres)
    kind = move[0]
    source = sizes.index(move[1])
    if kind == "fill":
        after[source] = sizes[source]
    elif kind == "empty":
        after[source] = 0
    else:
        target = sizes.index(move[2])
        room = sizes[target] - after[target]
        amount = min(after[source], room)
        after[source] -= amount
        after[target] += amount
    return after


def _moves(sizes: Sequence[int]) -> list[tuple[Any, ...]]:
    moves: list[tuple[Any, ...]] = []
    for size in sizes:
        moves.append(("fill", size))
        moves.append(("empty", size))
    for source, target in itertools.permutations(sizes, 2):
        moves.append(("pour", source, target))
    return moves


@cache
def jugs_path(sizes: tuple[int, ...]) -> Mapping[int, list[tuple[Any, ...]]]:
    """For each amount that a jug can come to hold, a shortest list of moves from empty jugs."""
    start = tuple(0 for _ in sizes)
    paths: dict[tuple[int, ...], list[tuple[Any, ...]]] = {start: []}
    amounts: dict[int, list[tuple[Any, ...]]] = {0: []}
    moves = _moves(sizes)

    # Breadth first: the queue grows while it is read, and the first path is a shortest one.
    queue = [start]
    for state in queue:
        for move in moves:
            after = tuple(litres_after(sizes, state, move))
            if after in paths:
                continue
            paths[after] = [*paths[state], move]
            queue.append(after)
            for amount in after:
                amounts.setdefault(amount, paths[after])
    return amounts


def jug_puzzle(rng: Random, count: int, shortest: int, longest: int) -> Puzzle:
    """Jugs and an amount that takes between `shortest` and `longest` moves."""
    largest = MAX_JUG_LITRES if count == 2 else MAX_SMALL_JUG_LITRES
    while True:
        sample = rng.sample(range(2, largest + 1), count)
        sizes = tuple(sorted(sample, reverse=True))
        paths = jugs_path(sizes)
        targets = [n for n, path in paths.items() if shortest <= len(path) <= longest]
        if not targets:
            continue
        target = rng.choice(targets)
        # The twin needs another amount, which these moves never make.
        if target and unreachable_amounts(sizes, target):
            return {"kind": "jugs", "sizes": list(sizes), "target": target}


def unreachable_amounts(sizes: tuple[int, ...], target: int) -> list[int]:
    """Amounts that no jug holds on the shortest way to the target, the nearest first."""
    paths = jugs_path(sizes)
    litres = [0] * len(sizes)
    amounts = {0}
    for move in paths[target]:
        litres = litres_after(sizes, litres, move)
        amounts.update(litres)

    others = paths.keys() - amounts
    return sorted(others, key=lambda amount: (len(paths[amount]), amount))


def polynomial_puzzle(rng: Random, degree: int, top: int, choices: int = 0) -> Puzzle:
    """A hidden polynomial with whole coefficients, lowest first; degree 0 stands for x + b.

    With `choices`, lists the values of that many functions x + b, and hides one of the functions.
    """
    leading = rng.choice([-1, 1]) * rng.randint(2, top) if degree else 1
    middle = [rng.randint(-top, top) for _ in range(max(0, degree - 1))]
    constant = rng.randint(-top, top)
    known = rng.randint(-9, 9)
    asked = rng.randint(MIN_ASKED, MAX_ASKED)
    puzzle: Puzzle = {
        "kind": "hidden",
        "coefficients": [constant, *middle, leading],
        "known": known,
        "asked": asked,
    }
    if not choices:
        return puzzle

    constants = rng.sample(range(-top, top + 1), choices)
    puzzle["coefficients"] = [rng.choice(constants), 1]
    # Far enough from 0 for a twin: every listed value is also one of another argument from 11.
    asked += 2 * top
    puzzle["asked"] = asked
    puzzle["choices"] = [asked + constant for constant in constants]
    return puzzle


def other_argument(puzzle: Mapping[str, Any]) -> int:
    """The nearest argument out of reach of probes with another value: a listed one, if any are."""
    coefficients = puzzle["coefficients"]
    asked = puzzle["asked"]
    answer = polynomial_value(coefficients, asked)
    choices = puzzle.get("choices")

    step = 0
    while True:
        step += 1
        for x in (asked + step, asked - step):
            value = polynomial_value(coefficients, x)
            if x < MIN_ASKED or value == answer:
                continue
            if not choices or value in choices:
                return x


def polynomial_value(coefficients: Sequence[int], x: int) -> int:
    """f(x), for coefficients with the lowest power first."""
    terms = [c * x**power for power, c in enumerate(coefficients)]
    return sum(terms)
