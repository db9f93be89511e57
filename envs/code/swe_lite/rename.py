"""The same module with other local names: what a repair has to do without names that tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence, Set
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
    module = parse(text)
    renamings: list[Renaming] = []
    for _, function in functions(module.body, ""):
        if _is_ascii(function, lines):
            renamings.extend(_renamings(function))

    # From the end, so that columns of the earlier uses in a line stay right.
    for number, column, old, new in sorted(renamings, reverse=True):
        index = number - 1
        line = lines[index]
        end = column + len(old)
        lines[index] = line[:column] + new + line[end:]
    return "\n".join(lines)


def _is_ascii(function: ast.FunctionDef, lines: Sequence[str]) -> bool:
    """Whether ast's columns, which count bytes, are those of characters."""
    first = function.lineno
    last = function.end_lineno or first
    part = lines[first - 1 : last]
    return all(line.isascii() for line in part)


def _renamings(function: ast.FunctionDef) -> Iterator[Renaming]:
    """Every use of a local variable that can have another name."""
    names: list[ast.Name] = []
    fixed: set[str] = set()
    for node in ast.walk(function):
        # Names in the body of a class are its attributes, not the function's variables.
        if isinstance(node, ast.ClassDef):
            return
        if isinstance(node, ast.Name):
            names.append(node)
        fixed.update(_names_elsewhere(node))

    names.sort(key=_place)
    ids = {name.id for name in names}
    if not ids.isdisjoint(_BY_NAME):
        return

    new_names = _new_names(names, fixed)
    # A function that uses such a name already could mean another variable by it.
    in_use = ids | fixed
    if not in_use.isdisjoint(new_names.values()):
        return
    for name in names:
        if name.id in new_names:
            new = new_names[name.id]
            yield name.lineno, name.col_offset, name.id, new


def _place(node: ast.Name) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _new_names(names: Sequence[ast.Name], fixed: Set[str]) -> dict[str, str]:
    """New name by old one, in order of appearance, of variables that are not `fixed`."""
    stored: set[str] = set()
    for name in names:
        if isinstance(name.ctx, ast.Store):
            stored.add(name.id)
    variables = stored - fixed

    new_names: dict[str, str] = {}
    for name in names:
        if name.id in variables and name.id not in new_names:
            number = len(new_names) + 1
            new_names[name.id] = f"v{number}"
    return new_names


def _names_elsewhere(node: ast.AST) -> Iterator[str]:
    """Names that stand elsewhere than in a plain `Name`, or at a place that is unknown."""
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names
    elif isinstance(node, _BINDS_NAME):
        yield node.name or ""
    elif isinstance(node, ast.alias):
        name = node.asname or node.name
        yield name.partition(".")[0]
    elif isinstance(node, ast.JoinedStr):
        # Columns inside f-strings are wrong before Python 3.12.
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                yield inner.id
