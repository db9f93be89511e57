"""Functions to write: chains of operations on a list of whole numbers, described in words."""

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
    "alternatives",
    "code_of",
    "description",
    "expression_of",
    "family_of",
    "inputs",
    "outcome",
    "random_stages",
    "stages_matter",
]

Stage = list[Any]
"""The name of an operation and its number, 0 if it takes none."""

VISIBLE, HIDDEN = 3, 20
ALTERNATIVES = 3
LONGEST, LOWEST, HIGHEST = 9, -9, 12


@dataclass(frozen=True)
class Operation:
    """What is done to the list.

    | field | meaning |
    |---|---|
    | words, other_words | `{k}` for its number; as in training, and otherwise |
    | code | an expression in `{xs}` and `{k}` |
    | numbers | choices of k; (0,) for none |
    | ends | it gives a number, so nothing follows |
    """

    words: str
    other_words: str
    code: str
    numbers: tuple[int, ...] = (0,)
    ends: bool = False


def _list(words: str, other_words: str, code: str, *numbers: int) -> Operation:
    return Operation(words, other_words, code, numbers or (0,))


def _last(words: str, other_words: str, code: str, *numbers: int) -> Operation:
    return Operation(words, other_words, code, numbers or (0,), ends=True)


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
    stages: Sequence[Stage],
    name: str,
    xs: str,
    blank: int | None = None,
) -> str:
    """The function, a line for each stage; the expression of stage `blank` is left out."""
    lines = [f"def {name}({xs}):"]
    for place, stage in enumerate(stages):
        expression = expression_of(stage, xs)
        if place == blank:
            expression = "____"
        target = "return " if _ends(stage) else f"{xs} = "
        lines.append(f"    {target}{expression}")
    if not _ends(stages[-1]):
        lines.append(f"    return {xs}")
    text = "\n".join(lines)
    return f"{text}\n"


def _ends(stage: Stage) -> bool:
    """Whether a stage gives a number, so that it is the last."""
    name, _ = stage
    return OPERATIONS[name].ends


def expression_of(stage: Stage, xs: str) -> str:
    """`[x + 3 for x in xs]`."""
    name, k = stage
    template = OPERATIONS[name].code
    return template.format(xs=xs, k=k)


def description(stages: Sequence[Stage], *, other_words: bool = False) -> str:
    """`keep the even numbers, then add 3 to each, and return the list`."""
    phrases: list[str] = []
    for name, k in stages:
        operation = OPERATIONS[name]
        template = operation.other_words if other_words else operation.words
        phrases.append(template.format(k=k))
    if not _ends(stages[-1]):
        end = "give back what there is then" if other_words else "return the list"
        phrases.append(end)

    *first, last = phrases
    if not first:
        return last
    beginning = ", then ".join(first)
    return f"{beginning}, and {last}"


@cache
def _function(name: str, k: int) -> Callable[[list[int]], Any]:
    expression = expression_of([name, k], "xs")
    return eval(f"lambda xs: {expression}")  # noqa: S307 - our own table


def outcome(stages: Sequence[Stage], xs: Sequence[int]) -> Any:
    """What the function gives."""
    value: Any = list(xs)
    for name, k in stages:
        value = _function(name, k)(value)
    return value


def inputs(seed: str, count: int) -> list[list[int]]:
    """Lists to call it with; every seventh is empty."""
    rng = Random(seed)
    lists: list[list[int]] = []
    for number in range(count):
        is_empty = number % 7 == 6
        length = 0 if is_empty else rng.randint(4, LONGEST)
        numbers = [rng.randint(LOWEST, HIGHEST) for _ in range(length)]
        lists.append(numbers)
    return lists


def random_stages(rng: Random, count: int, ends: bool) -> list[Stage]:
    """`count` stages, none twice; the last gives a number if `ends`."""
    names = rng.sample(_names(ends=False), count - ends)
    if ends:
        last = rng.choice(_names(ends=True))
        names.append(last)
    return [_random_stage(rng, name) for name in names]


def _names(*, ends: bool) -> list[str]:
    """The operations that give a number, or those that give a list, in the table's order."""
    return [name for name, operation in OPERATIONS.items() if operation.ends == ends]


def alternatives(
    rng: Random,
    stages: Sequence[Stage],
    place: int,
    calls: Sequence[Sequence[int]],
) -> list[Stage]:
    """Three other operations for a stage; each gives other values on the visible calls already.

    Fewer if there are no three: values differ from the right one's and among each other.
    """
    in_use = {name for name, _ in stages}
    candidates = _names(ends=_ends(stages[place]))
    names = [name for name in candidates if name not in in_use]

    visible = calls[:VISIBLE]
    seen = {_values(stages, visible)}
    results: list[Stage] = []
    for name in rng.sample(names, len(names)):
        stage = _random_stage(rng, name)
        edited = list(stages)
        edited[place] = stage
        values = _values(edited, visible)
        if values not in seen:
            seen.add(values)
            results.append(stage)
        if len(results) == ALTERNATIVES:
            break
    return results


def stages_matter(stages: Sequence[Stage], calls: Sequence[Sequence[int]]) -> bool:
    """Whether every stage changes a value, and the values are not mostly the same."""
    values = _values(stages, calls)
    min_different = len(values) // 3
    if len(set(values)) < min_different:
        return False
    for place in range(len(stages)):
        without = list(stages)
        del without[place]
        if not _differs(without, calls, values):
            return False
    return True


def _differs(
    stages: Sequence[Stage],
    calls: Sequence[Sequence[int]],
    values: Sequence[str],
) -> bool:
    """Whether the stages give another value on any of the calls."""
    # Not `_values`: one call that differs is enough, and most chains have one.
    pairs = zip(calls, values, strict=True)
    return any(repr(outcome(stages, xs)) != value for xs, value in pairs)


def _values(stages: Sequence[Stage], calls: Sequence[Sequence[int]]) -> tuple[str, ...]:
    values = [outcome(stages, xs) for xs in calls]
    return tuple(map(repr, values))


def _random_stage(rng: Random, name: str) -> Stage:
    operation = OPERATIONS[name]
    return [name, rng.choice(operation.numbers)]


def family_of(stages: Sequence[Stage]) -> str:
    """The operations in their order, without their numbers."""
    names = [name for name, _ in stages]
    return " > ".join(names)
