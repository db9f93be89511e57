"""What a mutation operator yields: another text for a span of one line."""

from __future__ import annotations

import ast
from typing import NamedTuple

__all__ = ["Change", "is_on_one_line", "replacement", "text_of"]


class Change(NamedTuple):
    """A new text for a span; changes sort by place.

    | field | meaning |
    |---|---|
    | line | from 1 |
    | column, end | columns from 0, `end` excluded |
    | after | the new text |
    """

    line: int
    column: int
    end: int
    after: str


def replacement(node: ast.expr | ast.stmt, after: str) -> Change:
    """The change of a whole node, which must stand on one line, into another text."""
    return Change(
        line=node.lineno,
        column=node.col_offset,
        end=node.end_col_offset or 0,
        after=after,
    )


def is_on_one_line(node: ast.expr) -> bool:
    """Whether an expression begins and ends on the same line."""
    return node.lineno == node.end_lineno


def text_of(node: ast.expr | None, line: str) -> str:
    """The node's text, given the line on which it stands; empty if there is no node."""
    if node is None:
        return ""
    return line[node.col_offset : node.end_col_offset]
