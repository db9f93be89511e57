"""Final answers: read strictly, and offered among wrong ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import TypeVar

__all__ = ["NO_VALUE", "one_of_several", "read_value"]

NO_VALUE = (
    'no value found: write it alone, such as 7 or -3/4, or on a last line "Answer: 7"'
)

_VALUE = re.compile(r"(-?[0-9]{1,20})(/[0-9]{1,20}|\.[0-9]{1,20})?")
_MARK = re.compile(r"answer\s*:", re.IGNORECASE)

Problem = TypeVar("Problem")


def read_value(text: str) -> Fraction | None:
    """The value that a turn gives as final; None for a turn that gives none or several.

    Either the whole turn is the value, or its last line is `Answer: <value>` and no other `Answer:`
    stands before. A value is a whole number, a decimal or a fraction in ASCII digits; white space
    around it is ignored, anything else beside it makes it no value.
    """
    found = _VALUE.fullmatch(text.strip()) or _marked(text)
    if found is None:
        return None
    value, rest = found.groups()
    try:
        return Fraction(int(value)) if rest is None else Fraction(value + rest)
    except ZeroDivisionError:
        return None


def _marked(text: str) -> re.Match[str] | None:
    """The value behind the only `Answer:`, which begins the last line."""
    last = text.strip().rpartition("\n")[2].strip()
    mark = _MARK.match(last)
    if mark is None or len(_MARK.findall(text)) > 1:
        return None
    return _VALUE.fullmatch(last[mark.end() :].strip())


def one_of_several(
    rng: Random, draw: Callable[[], tuple[Problem, int]], count: int, rank: int
) -> tuple[Problem, list[str]]:
    """A problem, and a list of values in random order: the answers of `count`, of which it is one.

    Wrong values made up around the right one give it away, by its rank or as the most usual answer.
    Here any listed value could as well have been asked for. `rank` says which one is, by size from
    0: a caller that refuses some problems draws it before, so that all ranks stay as frequent.
    """
    found: dict[int, Problem] = {}
    while len(found) < count:
        problem, answer = draw()
        found.setdefault(answer, problem)
    listed = list(found)
    rng.shuffle(listed)
    return found[sorted(listed)[rank]], [str(value) for value in listed]
