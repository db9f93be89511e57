"""The same module with other local names: what a repair has to do without names that tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from envs.code.bugs.mutate import functions
from envs.parsing import parse

__all__ = ["rename_locals"]

_BY_NAME = frozenset({"locals", "vars", "eval", "exec"})

_NAMED = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
)


def rename_locals(text: str) -> str:
    """The module with every function's local variables called v1, v2, ... in order of appearance.

    Parameters stay, since callers name them; so do names that an f-string, a nested definition, an
    import or a handler binds or uses. A function that reads its names as text is left alone.
    """
    lines = text.split("\n")
    spots: list[tuple[int, int, str, str]] = []
    for _, function in functions(parse(text).body, ""):
        last = function.end_lineno or function.lineno
        if all(line.isascii() for line in lines[function.lineno - 1 : last]):
            spots += _renamed(function)
    for number, column, old, new in sorted(spots, reverse=True):
        line = lines[number - 1]
        lines[number - 1] = line[:column] + new + line[column + len(old) :]
    return "\n".join(lines)


def _renamed(function: ast.FunctionDef) -> Iterator[tuple[int, int, str, str]]:
    """Line, column, old and new name of every use of a local variable."""
    nodes = list(ast.walk(function))
    names = sorted(
        (node for node in nodes if isinstance(node, ast.Name)),
        key=lambda node: (node.lineno, node.col_offset),
    )
    if _BY_NAME & {node.id for node in names} or any(
        isinstance(n, ast.ClassDef) for n in nodes
    ):
        return
    kept = {name for node in nodes for name in _bound_otherwise(node)}
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)} - kept
    order = list(dict.fromkeys(node.id for node in names if node.id in stored))
    new = {old: f"v{place}" for place, old in enumerate(order, start=1)}
    if not set(new.values()) & ({node.id for node in names} | kept):
        yield from (
            (node.lineno, node.col_offset, node.id, new[node.id])
            for node in names
            if node.id in new
        )


def _bound_otherwise(node: ast.AST) -> Iterator[str]:
    """Names that stand elsewhere than in a plain `Name`, or at a place that is not known."""
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names
    elif isinstance(node, _NAMED):
        yield node.name or ""
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, ast.JoinedStr):  # columns inside are wrong before 3.12
        yield from (one.id for one in ast.walk(node) if isinstance(one, ast.Name))
