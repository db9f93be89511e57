"""Final answers: read strictly, and offered among wrong ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from random import Random

__all__ = ["NO_VALUE", "choices_around", "read_value"]

NO_VALUE = 'no value found: write it alone, such as 7 or -3/4, or on a last line "Answer: 7"'

_VALUE = re.compile(r"-?[0-9]{1,20}(?:/[0-9]{1,20}|\.[0-9]{1,20})?")
_MARK = re.compile(r"answer\s*:", re.IGNORECASE)
MOST_GAP = 3


def read_value(text: str) -> Fraction | None:
    """The value that a turn gives as final; None for a turn that gives none or several.

    Either the whole turn is the value, or its last line is `Answer: <value>` and no other `Answer:`
    stands before. A value is a whole number, a decimal or a fraction in ASCII digits; white space
    around it is ignored, anything else beside it makes it no value.
    """
    line = text.strip().rpartition("\n")[2].strip()
    mark = _MARK.match(line)
    if mark:
        if len(_MARK.findall(text)) > 1:
            return None
        line = line[mark.end() :].strip()
    elif line != text.strip():
        return None
    if not _VALUE.fullmatch(line):
        return None
    try:
        return Fraction(line)
    except ZeroDivisionError:
        return None


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
