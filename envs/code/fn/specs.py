"""Functions to write: chains of operations on a list of whole numbers, told in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

__all__ = [
    "ALTERNATIVES",
    "HIDDEN",
    "OPERATIONS",
    "VISIBLE",
    "Stage",
    "code_of",
    "drawn",
    "family_of",
    "expression_of",
    "inputs",
    "needed",
    "others",
    "outcome",
    "told",
]

Stage = list[Any]
"""The name of an operation and its number, 0 where it takes none."""

VISIBLE, HIDDEN = 3, 20
ALTERNATIVES = 3
LONGEST, LOWEST, HIGHEST = 9, -9, 12


@dataclass(frozen=True)
class Operation:
    """What is done to the list.

    | field | meaning |
    |---|---|
    | told, retold | in words, `{k}` for its number; as in training, and otherwise |
    | code | an expression in `{xs}` and `{k}` |
    | numbers | which k there are; (0,) for none |
    | ends | it gives a number, so nothing follows |
    """

    told: str
    retold: str
    code: str
    numbers: tuple[int, ...] = (0,)
    ends: bool = False


def _list(told: str, retold: str, code: str, *numbers: int) -> Operation:
    return Operation(told, retold, code, numbers or (0,))


def _last(told: str, retold: str, code: str, *numbers: int) -> Operation:
    return Operation(told, retold, code, numbers or (0,), ends=True)


OPERATIONS: Mapping[str, Operation] = {
    "even": _list(
        "keep the even numbers",
        "drop whatever is odd",
        "[x for x in {xs} if x % 2 == 0]",
    ),
    "odd": _list(
        "keep the odd numbers",
        "drop whatever is even",
        "[x for x in {xs} if x % 2 == 1]",
    ),
    "above": _list(
        "keep the numbers above {k}",
        "drop all up to {k}",
        "[x for x in {xs} if x > {k}]",
        0,
        2,
        4,
    ),
    "below": _list(
        "keep the numbers below {k}",
        "drop all from {k} up",
        "[x for x in {xs} if x < {k}]",
        3,
        5,
        7,
    ),
    "multiples": _list(
        "keep the multiples of {k}",
        "drop what {k} does not divide",
        "[x for x in {xs} if x % {k} == 0]",
        3,
        4,
        5,
    ),
    "no_multiples": _list(
        "drop the multiples of {k}",
        "keep what {k} does not divide",
        "[x for x in {xs} if x % {k} != 0]",
        3,
        4,
        5,
    ),
    "add": _list(
        "add {k} to each", "raise each by {k}", "[x + {k} for x in {xs}]", 1, 2, 3, 5
    ),
    "less": _list(
        "subtract {k} from each",
        "lower each by {k}",
        "[x - {k} for x in {xs}]",
        1,
        2,
        4,
    ),
    "times": _list(
        "multiply each by {k}",
        "make each {k} times as large",
        "[x * {k} for x in {xs}]",
        2,
        3,
        4,
    ),
    "square": _list("square each", "multiply each by itself", "[x * x for x in {xs}]"),
    "negate": _list("negate each", "flip the sign of each", "[-x for x in {xs}]"),
    "absolute": _list(
        "take absolute values", "drop the signs", "[abs(x) for x in {xs}]"
    ),
    "remainder": _list(
        "take each modulo {k}",
        "replace each by its remainder modulo {k}",
        "[x % {k} for x in {xs}]",
        3,
        4,
        7,
    ),
    "floor": _list(
        "raise what is below {k} to {k}",
        "let none be under {k}",
        "[max(x, {k}) for x in {xs}]",
        0,
        2,
    ),
    "ceiling": _list(
        "lower what is above {k} to {k}",
        "let none be over {k}",
        "[min(x, {k}) for x in {xs}]",
        4,
        6,
    ),
    "reverse": _list("reverse the list", "put the last first", "{xs}[::-1]"),
    "rising": _list(
        "sort from small to large", "put them in rising order", "sorted({xs})"
    ),
    "falling": _list(
        "sort from large to small",
        "put them in falling order",
        "sorted({xs}, reverse=True)",
    ),
    "unique": _list(
        "keep the first of equal numbers",
        "drop repetitions",
        "list(dict.fromkeys({xs}))",
    ),
    "head": _list("keep the first {k}", "cut after {k}", "{xs}[:{k}]", 2, 3, 4),
    "tail": _list(
        "drop the first {k}", "start behind the first {k}", "{xs}[{k}:]", 1, 2, 3
    ),
    "end": _list("keep the last {k}", "leave {k} at the end", "{xs}[-{k}:]", 2, 3, 4),
    "shorten": _list("drop the last {k}", "cut {k} off the end", "{xs}[:-{k}]", 1, 2),
    "every": _list(
        "keep one in {k}, from the first",
        "take steps of {k} from the first",
        "{xs}[::{k}]",
        2,
        3,
    ),
    "differences": _list(
        "take the differences of neighbours, later minus earlier",
        "replace the list by its steps up",
        "[b - a for a, b in zip({xs}, {xs}[1:])]",
    ),
    "pairs": _list(
        "take the sums of neighbours",
        "add each to the one after it",
        "[a + b for a, b in zip({xs}, {xs}[1:])]",
    ),
    "places": _list(
        "add to each its index",
        "raise each by its place from 0",
        "[i + x for i, x in enumerate({xs})]",
    ),
    "running": _list(
        "take running sums",
        "replace each by the sum up to it",
        "[sum({xs}[: i + 1]) for i in range(len({xs}))]",
    ),
    "sum": _last("return the sum", "give back what they add up to", "sum({xs})"),
    "count": _last(
        "return how many are left", "give back the number of them", "len({xs})"
    ),
    "largest": _last(
        "return the largest, 0 if none is left",
        "give back the maximum or 0",
        "max({xs}, default=0)",
    ),
    "smallest": _last(
        "return the smallest, 0 if none is left",
        "give back the minimum or 0",
        "min({xs}, default=0)",
    ),
    "range": _last(
        "return the largest minus the smallest, 0 if none is left",
        "give back how far they lie apart, or 0",
        "max({xs}, default=0) - min({xs}, default=0)",
    ),
    "count_of": _last(
        "return how often {k} occurs",
        "give back the number of {k}s",
        "{xs}.count({k})",
        1,
        2,
        3,
        4,
    ),
    "squares": _last(
        "return the sum of the squares",
        "give back all squares added up",
        "sum(x * x for x in {xs})",
    ),
    "different": _last(
        "return how many different numbers are left",
        "count without repetitions",
        "len(set({xs}))",
    ),
}


def code_of(
    stages: Sequence[Stage], name: str, xs: str, blank: int | None = None
) -> str:
    """The function, a line for each stage; the expression of stage `blank` is left out."""
    lines = [f"def {name}({xs}):"]
    for place, (operation, k) in enumerate(stages):
        expression = "____" if place == blank else expression_of([operation, k], xs)
        verb = "return " if OPERATIONS[operation].ends else f"{xs} = "
        lines.append(f"    {verb}{expression}")
    if not OPERATIONS[stages[-1][0]].ends:
        lines.append(f"    return {xs}")
    return "\n".join(lines) + "\n"


def expression_of(stage: Stage, xs: str) -> str:
    """`[x + 3 for x in xs]`."""
    return OPERATIONS[stage[0]].code.format(xs=xs, k=stage[1])


def told(stages: Sequence[Stage], *, again: bool = False) -> str:
    """`keep the even numbers, then add 3 to each, and return the list`; again: in other words."""
    words = [
        (OPERATIONS[name].retold if again else OPERATIONS[name].told).format(k=k)
        for name, k in stages
    ]
    if not OPERATIONS[stages[-1][0]].ends:
        words.append("give back what there is then" if again else "return the list")
    *most, last = words
    return f"{', then '.join(most)}, and {last}" if most else last


@cache
def _function(name: str, k: int) -> Callable[[list[int]], Any]:
    return eval(f"lambda xs: {expression_of([name, k], 'xs')}")  # noqa: S307 - our own table


def outcome(stages: Sequence[Stage], xs: Sequence[int]) -> Any:
    """What the function gives."""
    value: Any = list(xs)
    for name, k in stages:
        value = _function(name, k)(value)
    return value


def inputs(seed: str, count: int) -> list[list[int]]:
    """Lists to call it with; every seventh is empty."""
    rng = Random(seed)
    return [
        [
            rng.randint(LOWEST, HIGHEST)
            for _ in range(rng.randint(4, LONGEST) if i % 7 != 6 else 0)
        ]
        for i in range(count)
    ]


def drawn(rng: Random, count: int, ends: bool) -> list[Stage]:
    """So many stages, none twice; the last gives a number where `ends`."""
    lists = [name for name, one in OPERATIONS.items() if not one.ends]
    names = rng.sample(lists, count - ends)
    if ends:
        names.append(rng.choice([name for name, one in OPERATIONS.items() if one.ends]))
    return [_numbered(rng, name) for name in names]


def others(
    rng: Random, stages: Sequence[Stage], place: int, calls: Sequence[Sequence[int]]
) -> list[Stage]:
    """Three other operations for a stage; each gives other values on the visible calls already.

    Fewer where there are no three: values differ from the right one's and among each other.
    """
    ends = OPERATIONS[stages[place][0]].ends
    used = {name for name, _ in stages}
    names = [n for n, one in OPERATIONS.items() if one.ends == ends and n not in used]
    seen = {_values(stages, calls[:VISIBLE])}
    found: list[Stage] = []
    for name in rng.sample(names, len(names)):
        stage = _numbered(rng, name)
        values = _values(
            [*stages[:place], stage, *stages[place + 1 :]], calls[:VISIBLE]
        )
        if values not in seen:
            seen.add(values)
            found.append(stage)
        if len(found) == ALTERNATIVES:
            break
    return found


def needed(stages: Sequence[Stage], calls: Sequence[Sequence[int]]) -> bool:
    """Whether every stage matters, and the values are not mostly the same."""
    values = _values(stages, calls)
    if len(set(values)) < len(values) // 3:
        return False
    fewer = ([*stages[:i], *stages[i + 1 :]] for i in range(len(stages)))
    return not any(
        all(
            repr(outcome(left, xs)) == value
            for xs, value in zip(calls, values, strict=True)
        )
        for left in fewer
    )


def _values(stages: Sequence[Stage], calls: Sequence[Sequence[int]]) -> tuple[str, ...]:
    return tuple(repr(outcome(stages, xs)) for xs in calls)


def _numbered(rng: Random, name: str) -> Stage:
    return [name, rng.choice(OPERATIONS[name].numbers)]


def family_of(stages: Sequence[Stage]) -> str:
    """The operations in their order, without their numbers."""
    return " > ".join(name for name, _ in stages)
