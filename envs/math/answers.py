"""Final answers: read strictly, and offered among wrong ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from random import Random

__all__ = ["NO_VALUE", "choices_around", "read_value"]

NO_VALUE = 'no value found: write it alone, such as 7 or -3/4, or on a last line "Answer: 7"'

_VALUE = re.compile(r"(-?[0-9]{1,20})(/[0-9]{1,20}|\.[0-9]{1,20})?")
_MARK = re.compile(r"answer\s*:", re.IGNORECASE)
MOST_GAP = 3


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


def choices_around(rng: Random, answer: int, count: int) -> Sequence[str]:
    """The answer and wrong whole numbers of 0 or more near it, in random order.

    The answer's rank by size is uniform where small numbers allow it, so its place tells nothing.
    At least one choice is larger, so that a twin with a larger number exists.
    """
    values = [answer]
    for _ in range(rng.randrange(count - 1)):
        values.append(values[-1] - rng.randint(1, MOST_GAP))
    values = [value for value in values if value >= 0]
    values.reverse()
    while len(values) < count:
        values.append(values[-1] + rng.randint(1, MOST_GAP))
    rng.shuffle(values)
    return [str(value) for value in values]
