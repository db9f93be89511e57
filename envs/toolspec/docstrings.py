"""What a tool's docstring says: a summary, and a description of each parameter.

Sections on parameters are read in the styles of Google, NumPy, reST and Epytext, each with any
indentation. `docstring_parser` is not used, because it leaves out what it does not know, and a
description that a model never sees is a fault that nothing shows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Docstring", "read_docstring"]

_TITLE = r"(?:(?:keyword|other) )?(?:args|arguments|params|parameters)"
_GOOGLE = re.compile(
    rf"[*_#]*\s*{_TITLE}\s*[*_]*\s*:[*_]*|[*_#]+\s*{_TITLE}[*_]*", re.I
)
_ONE_LINE = re.compile(r"(?:Args|Arguments|Params|Parameters)\s*:\s*\S.*")
_TITLE_LINE = re.compile(r"\s*\w[\w ]*:")
_NUMPY = re.compile(_TITLE, re.I)
_RULE = re.compile(r"[-=~]{3,}")
_FIELD = re.compile(r"[:@](?:param|parameter|arg|argument|key|keyword|kwarg)\b")
_OTHER_FIELD = re.compile(
    r"[:@](?:type|returns?|rtype|raises?|except|exception|yields?|ytype)\b[^:`]*:"
)

_NAMES = r"[*`]{0,2}\w+`{0,2}(?:\s*,\s*[*`]{0,2}\w+`{0,2})*"
_GOOGLE_ENTRY = re.compile(rf"(?:[-*+]\s+)?({_NAMES})\s*(?:\(.*?\)\s*)?:\s*(.*)")
_NUMPY_ENTRY = re.compile(rf"({_NAMES})\s*(?::\s*(.*))?")
_FIELD_ENTRY = re.compile(rf"[:@]\w+\s+(?:[^:]*?\s)?({_NAMES})\s*:\s*(.*)")


@dataclass(frozen=True)
class Docstring:
    """The first paragraph, and the description of each parameter that has one."""

    summary: str
    descriptions: dict[str, str]


@dataclass(frozen=True)
class _Entry:
    """A line that names parameters, and all lines that describe them."""

    line: str
    names: str
    text: Sequence[str]


def read_docstring(doc: str, parameters: Collection[str]) -> Docstring:
    """The parts of a docstring whose common indentation is removed (`inspect.getdoc`).

    Raises ValueError with the line that cannot be read in a section on parameters, that names
    none of `parameters`, or that describes one again.
    """
    lines = [line.rstrip() for line in doc.splitlines()]
    summary: list[str] = []
    for place, line in enumerate(lines):
        if not line or _starts_section(lines, place):
            break
        summary.append(line)

    descriptions: dict[str, str] = {}
    for entry in _entries(lines):
        text = " ".join(" ".join(entry.text).split())
        for name in re.findall(r"\w+", entry.names):
            if name not in parameters:
                known = ", ".join(parameters) or "none"
                raise ValueError(
                    f"the line {entry.line!r} describes {name!r}, which is no parameter; "
                    f"parameters: {known}"
                )
            if name in descriptions:
                raise ValueError(f"the line {entry.line!r} describes {name!r} again")
            descriptions[name] = text
    described = {name: text for name, text in descriptions.items() if text}
    return Docstring(" ".join(" ".join(summary).split()), described)


def _starts_section(lines: Sequence[str], place: int) -> bool:
    """Whether a line begins what is said of parameters, or is a field of reST or Epytext."""
    text = lines[place].strip()
    return bool(
        _GOOGLE.fullmatch(text)
        or _ONE_LINE.fullmatch(text)
        or _FIELD.match(text)
        or _OTHER_FIELD.match(text)
        or _is_ruled(lines, place)
    )


def _entries(lines: Sequence[str]) -> Iterator[_Entry]:
    """Every entry of every section on parameters. Raises ValueError for an unreadable line."""
    place = 0
    while place < len(lines):
        text = lines[place].strip()
        if _FIELD.match(text):
            count = _field_length(lines, place)
            yield _field(lines[place : place + count])
        elif _ONE_LINE.fullmatch(text):
            raise _unreadable(text)
        elif _GOOGLE.fullmatch(text):
            block = _deeper(lines, place)
            count = 1 + len(block)
            # An empty section is followed by nothing, or by another title.
            following = next((line for line in lines[place + count :] if line), "")
            if not any(block) and following and not _TITLE_LINE.fullmatch(following):
                raise _unreadable(following)
            yield from _split(block, _GOOGLE_ENTRY)
        elif _NUMPY.fullmatch(text) and _is_ruled(lines, place):
            block = _ruled_block(lines, place)
            count = 2 + len(block)
            yield from _split(block, _NUMPY_ENTRY)
        else:
            count = 1
        place += count


def _split(block: Sequence[str], pattern: re.Pattern[str]) -> Iterator[_Entry]:
    """The entries of a section: lines with the first one's indentation, and those below each."""
    starts = []
    indent = next((_indent(line) for line in block if line), 0)
    for place, line in enumerate(block):
        if line and _indent(line) <= indent:
            if _indent(line) < indent or not pattern.fullmatch(line.strip()):
                raise _unreadable(line)
            starts.append(place)
    for start, end in pairwise([*starts, len(block)]):
        line = block[start].strip()
        match = pattern.fullmatch(line)
        assert match is not None
        text = list(block[start + 1 : end])
        # What follows the colon is a type in NumPy's style if a description stands below it.
        if pattern is not _NUMPY_ENTRY or not any(text):
            text.insert(0, match[2] or "")
        yield _Entry(line, match[1], text)


def _field(lines: Sequence[str]) -> _Entry:
    line = lines[0].strip()
    match = _FIELD_ENTRY.fullmatch(line)
    if match is None:
        raise _unreadable(line)
    return _Entry(line, match[1], [match[2], *lines[1:]])


def _field_length(lines: Sequence[str], place: int) -> int:
    """How many lines a field has: up to the next one; after an empty line, indented ones alone."""
    indent, after_empty = _indent(lines[place]), False
    for other in range(place + 1, len(lines)):
        line = lines[other]
        if line and (
            (after_empty and _indent(line) <= indent) or _starts_section(lines, other)
        ):
            return other - place
        after_empty = after_empty or not line
    return len(lines) - place


def _deeper(lines: Sequence[str], place: int) -> Sequence[str]:
    """The lines after one that are indented deeper than it, with the empty ones between."""
    indent = _indent(lines[place])
    end = place + 1
    while end < len(lines) and (not lines[end] or _indent(lines[end]) > indent):
        end += 1
    return lines[place + 1 : end]


def _ruled_block(lines: Sequence[str], place: int) -> Sequence[str]:
    """The lines below a title and its rule, up to the next title with a rule."""
    end = place + 2
    while end < len(lines) and not _is_ruled(lines, end):
        end += 1
    return lines[place + 2 : end]


def _is_ruled(lines: Sequence[str], place: int) -> bool:
    """Whether a line is a title in NumPy's style, with a rule below it."""
    if not lines[place] or place + 1 == len(lines):
        return False
    return _RULE.fullmatch(lines[place + 1].strip()) is not None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _unreadable(line: str) -> ValueError:
    return ValueError(
        f"cannot read the line {line.strip()!r} of its section on parameters; expected "
        "`name: text` on a line below the title, indented, and continued lines indented deeper"
    )
