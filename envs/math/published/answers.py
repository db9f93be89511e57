"""Final answers in LaTeX: found in a turn, and read exactly where they are plain numbers."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["MAX_CHARS", "boxed_answer", "exact_value"]

MAX_CHARS = 1000
MARK = "\\boxed{"

_WHOLE = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,40}"
_NUMBER = re.compile(rf"(-?)({_WHOLE})(?:\.([0-9]{{1,40}})|/({_WHOLE}))?")
_FRACTION = re.compile(
    r"(-?)\\[dt]?frac(?:\{(-?[0-9]{1,40})\}\{([0-9]{1,40})\}|([0-9])([0-9]))"
)


def boxed_answer(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}` of a turn.

    None if there is none, or if it is empty, unfinished or over 1,000 characters long.
    """
    start = text.rfind(MARK)
    if start < 0:
        return None

    start += len(MARK)
    depth = 1
    escaped = False
    for place, character in enumerate(text[start : start + MAX_CHARS + 1], start):
        if escaped:
            # The brace of `\{` opens nothing.
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return text[start:place].strip() or None
    return None


def exact_value(answer: str) -> Fraction | None:
    r"""The value of a plain number: `1,080`, `-2.5`, `3/4`, `\frac{3}{4}`, with or without `$`.

    None for all else, units and symbols included.
    """
    answer = answer.strip().strip("$").strip()
    match = _NUMBER.fullmatch(answer)
    if match is not None:
        sign, whole, decimals, below = match.groups()
        rest = f".{decimals}" if decimals else f"/{below}" if below else ""
        return _fraction((sign + whole + rest).replace(",", ""))

    match = _FRACTION.fullmatch(answer)
    if match is None:
        return None
    sign, *digits = match.groups()
    above, below = (part for part in digits if part is not None)
    value = _fraction(f"{above}/{below}")
    return -value if sign and value is not None else value


def _fraction(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ZeroDivisionError:
        return None
