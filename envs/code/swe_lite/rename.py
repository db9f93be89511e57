"""The same module with other local names: what a repair has to do without names that tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

from envs.code.bugs.mutate import functions
from envs.parsing import parse

__all__ = ["rename_locals"]

_BY_NAME = frozenset(["locals", "vars", "eval", "exec"])
"""Functions that read names as text."""

_BINDS_NAME = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
)

Renaming: TypeAlias = "tuple[int, int, str, str]"
"""Line (from 1), column (from 0), old and new name of one use of a variable."""


def rename_locals(text: str) -> str:
    """The module with every function's local variables called v1, v2, ... in order of appearance.

    Parameters stay, since callers name them; so do names that an f-string, a nested definition, an
    import or a handler binds or uses. A function that reads its names as text is left alone.
    """
    lines = text.split("\n")
    renamings: list[Renaming] = []
    for _, function in functions(parse(text).body, ""):
        last = function.end_lineno or function.lineno
        # ast counts columns in bytes, which are characters only in ASCII.
        if all(line.isascii() for line in lines[function.lineno - 1 : last]):
            renamings += _renamings(function)

    # From the end, so that columns of the earlier uses in a line stay right.
    for number, column, old, new in sorted(renamings, reverse=True):
        line = lines[number - 1]
        lines[number - 1] = line[:column] + new + line[column + len(old) :]
    return "\n".join(lines)


def _renamings(function: ast.FunctionDef) -> Iterator[Renaming]:
    """Every use of a local variable that can have another name."""
    nodes = list(ast.walk(function))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    names.sort(key=lambda node: (node.lineno, node.col_offset))
    ids = {node.id for node in names}
    if _BY_NAME & ids or any(isinstance(node, ast.ClassDef) for node in nodes):
        return

    fixed = {name for node in nodes for name in _names_elsewhere(node)}
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)} - fixed
    order = dict.fromkeys(node.id for node in names if node.id in stored)
    new_names = {old: f"v{place}" for place, old in enumerate(order, start=1)}
    # A function that uses such a name already could mean another variable by it.
    if set(new_names.values()) & (ids | fixed):
        return
    for node in names:
        if node.id in new_names:
            yield node.lineno, node.col_offset, node.id, new_names[node.id]


def _names_elsewhere(node: ast.AST) -> Iterator[str]:
    """Names that stand elsewhere than in a plain `Name`, or at a place that is unknown."""
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names
    elif isinstance(node, _BINDS_NAME):
        yield node.name or ""
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, ast.JoinedStr):
        # Columns inside f-strings are wrong before Python 3.12.
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                yield inner.id
