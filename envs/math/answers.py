"""Final answers: read strictly, and offered among wrong ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random
from typing import Any, TypeVar

import numpy as np

from envs.thoughts import after_thought

__all__ = ["NO_VALUE", "one_of_several", "random_operation", "read_value"]

NO_VALUE = (
    'no value found: write it alone, such as 7 or -3/4, or on a last line "Answer: 7"'
)

_VALUE = re.compile(r"(-?[0-9]{1,20})(/[0-9]{1,20}|\.[0-9]{1,20})?")
_MARK = re.compile(r"answer\s*:", re.IGNORECASE)

Problem = TypeVar("Problem")


def read_value(text: str) -> Fraction | None:
    """The value that a turn gives as final; None for a turn that gives none or several.

    Either the whole turn is the value, or its last line is `Answer: <value>` and no other
    `Answer:` comes before. A value is a whole number, a decimal or a fraction in ASCII digits.
    White space around it is ignored; any other neighbour makes it no value. What stands in a
    thought is not read (`envs.thoughts`).
    """
    text = after_thought(text)
    match = _VALUE.fullmatch(text.strip())
    if match is None:
        match = _match_after_mark(text)
    if match is None:
        return None

    whole, rest = match.groups()
    if rest is None:
        return Fraction(int(whole))
    try:
        return Fraction(whole + rest)
    except ZeroDivisionError:
        return None


def _match_after_mark(text: str) -> re.Match[str] | None:
    """The value behind the only `Answer:`, which begins the last line."""
    last_line = text.strip().rpartition("\n")[2].strip()
    mark = _MARK.match(last_line)
    if mark is None:
        return None
    # A turn that lists several answers has committed to none of them.
    if len(_MARK.findall(text)) > 1:
        return None
    behind = last_line[mark.end() :]
    return _VALUE.fullmatch(behind.strip())


def one_of_several(
    rng: Random,
    draw: Callable[[], tuple[Problem, int]],
    count: int,
    rank: int,
) -> tuple[Problem, list[str]]:
    """One of `count` problems with different answers, and all their answers in random order.

    Distractors invented around the right answer give it away, by its rank or as the most usual
    value. Here every listed value answers a problem that could have been the question. `rank` picks
    the problem by the size of its answer, from 0: a caller that rejects some problems draws `rank`
    once, before its retries, so that all ranks stay equally frequent.
    """
    problems: dict[int, Problem] = {}
    while len(problems) < count:
        problem, answer = draw()
        problems.setdefault(answer, problem)

    answers = list(problems)
    rng.shuffle(answers)
    right = sorted(answers)[rank]
    return problems[right], [str(answer) for answer in answers]


def random_operation(rng: np.random.Generator, numbers: Sequence[Any]) -> str:
    """One of + - * on two of the numbers, as text: the policy that chance is measured with."""
    left, right = rng.choice(len(numbers), size=2, replace=False)
    operator = rng.choice(["+", "-", "*"])
    return f"{numbers[left]} {operator} {numbers[right]}"
