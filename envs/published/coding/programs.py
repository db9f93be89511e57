"""The program that a turn holds."""

from __future__ import annotations

import re

__all__ = ["last_program"]

MAX_CHARS = 100_000
_FENCE = re.compile(r"^```[ \t]*(?:python3?|py)?[ \t]*\r?\n", re.MULTILINE)
_END = re.compile(r"^```[ \t]*\r?$", re.MULTILINE)


def last_program(text: str) -> str | None:
    """The last program in a fence of a turn: after ```` ```python ```` or a fence of no language.

    A fence without an end reaches to the end of the turn. None if there is no fence, or if its
    program is empty or over 100,000 characters long.
    """
    program: str | None = None
    place = 0
    while (start := _FENCE.search(text, place)) is not None:
        end = _END.search(text, start.end())
        if end is None:
            program = text[start.end() :]
            break
        program = text[start.end() : end.start()]
        place = end.end()
    if program is None or not program.strip() or len(program) > MAX_CHARS:
        return None
    return program
