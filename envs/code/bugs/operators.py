"""Mutation operators beyond signs and numbers: names, arguments, bounds and jumps.

Each yields changes of one node: line (from 1), first column, column after the last (both from 0),
new text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

__all__ = [
    "called_function",
    "called_method",
    "condition",
    "exception",
    "jump",
    "slice_bound",
    "swapped_arguments",
]

_METHODS = (
    ("strip", "lstrip", "rstrip", "lower", "upper"),
    ("lower", "upper", "title", "swapcase", "strip"),
    ("upper", "lower", "title", "swapcase", "strip"),
    ("startswith", "endswith", "count", "find", "rfind"),
    ("endswith", "startswith", "count", "find", "rfind"),
    ("find", "rfind", "count", "index", "startswith"),
    ("append", "extend", "remove", "count", "index"),
    ("extend", "append", "remove", "count", "index"),
    ("items", "keys", "values", "copy", "popitem"),
    ("keys", "values", "items", "clear", "popitem"),
    ("values", "keys", "items", "clear", "popitem"),
    ("isdigit", "isalpha", "isalnum", "isspace", "islower"),
    ("isspace", "isdigit", "isalpha", "isalnum", "islower"),
    ("split", "rsplit", "partition", "rpartition", "count"),
    ("partition", "rpartition", "split", "rsplit", "count"),
    ("rstrip", "lstrip", "strip", "lower", "upper"),
    ("lstrip", "rstrip", "strip", "lower", "upper"),
    ("add", "discard", "remove", "union", "update"),
    ("match", "search", "fullmatch", "findall", "split"),
    ("search", "match", "fullmatch", "findall", "split"),
    ("get", "pop", "setdefault", "count", "update"),
    ("pop", "get", "remove", "append", "clear"),
)
_FUNCTIONS = (
    ("min", "max", "sum", "len", "any"),
    ("max", "min", "sum", "len", "any"),
    ("any", "all", "sum", "len", "max"),
    ("all", "any", "sum", "len", "min"),
    ("sorted", "list", "set", "tuple", "len"),
    ("list", "set", "tuple", "sorted", "len"),
    ("set", "list", "tuple", "sorted", "len"),
    ("tuple", "list", "set", "sorted", "len"),
    ("reversed", "list", "sorted", "set", "iter"),
    ("int", "float", "str", "bool", "abs"),
    ("str", "repr", "len", "ascii", "bool"),
    ("repr", "str", "len", "ascii", "bool"),
    ("len", "bool", "sum", "max", "id"),
    ("ord", "hash", "len", "int", "repr"),
    ("chr", "str", "hex", "repr", "bool"),
    ("zip", "map", "list", "enumerate", "iter"),
    ("abs", "int", "bool", "float", "round"),
    ("isinstance", "issubclass", "hasattr", "callable", "zip"),
)
_EXCEPTIONS = (
    "ValueError",
    "TypeError",
    "KeyError",
    "IndexError",
    "RuntimeError",
    "EOFError",
)
_METHODS_BY_NAME = {row[0]: row[1:] for row in _METHODS}
_FUNCTIONS_BY_NAME = {row[0]: row[1:] for row in _FUNCTIONS}


def _on_one_line(node: ast.expr) -> bool:
    return node.lineno == node.end_lineno and node.end_col_offset is not None


def swapped_arguments(
    node: ast.AST, lines: Sequence[str]
) -> Iterator[tuple[int, int, int, str]]:
    """Two neighbouring arguments of a call in each other's place."""
    arguments = node.args if isinstance(node, ast.Call) else []
    for left, right in zip(arguments, arguments[1:], strict=False):
        starred = isinstance(left, ast.Starred) or isinstance(right, ast.Starred)
        same_line = (
            left.lineno == right.lineno and _on_one_line(left) and _on_one_line(right)
        )
        if starred or not same_line:
            continue
        text = lines[left.lineno - 1]
        first = text[left.col_offset : left.end_col_offset]
        second = text[right.col_offset : right.end_col_offset]
        between = text[left.end_col_offset : right.col_offset]
        if right.end_col_offset is not None and not isinstance(left, ast.GeneratorExp):
            yield (
                left.lineno,
                left.col_offset,
                right.end_col_offset,
                f"{second}{between}{first}",
            )


def jump(node: ast.AST, lines: Sequence[str]) -> Iterator[tuple[int, int, int, str]]:
    """A `break`, `continue` or `pass` that does something else."""
    words = {ast.Break: "break", ast.Continue: "continue"}
    if isinstance(node, ast.Break | ast.Continue) and node.end_col_offset is not None:
        own = words[type(node)]
        for other in ("break", "continue", "pass", "return"):
            if other != own:
                yield node.lineno, node.col_offset, node.end_col_offset, other


def condition(
    node: ast.AST, lines: Sequence[str]
) -> Iterator[tuple[int, int, int, str]]:
    """A condition with one half left out, or one that always or never holds."""
    if isinstance(node, ast.BoolOp) and len(node.values) == 2 and _on_one_line(node):
        for kept in node.values:
            text = lines[node.lineno - 1][kept.col_offset : kept.end_col_offset]
            yield node.lineno, node.col_offset, node.end_col_offset or 0, text
    elif isinstance(node, ast.If | ast.IfExp) and _on_one_line(node.test):
        test = node.test
        for word in ("True", "False"):
            yield test.lineno, test.col_offset, test.end_col_offset or 0, word


def called_method(
    node: ast.AST, lines: Sequence[str]
) -> Iterator[tuple[int, int, int, str]]:
    """A method of text, lists, dictionaries or patterns that is mistaken for a relative."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        function = node.func
        end = function.end_col_offset or 0
        for other in _METHODS_BY_NAME.get(function.attr, ()):
            yield function.end_lineno or 0, end - len(function.attr), end, other


def called_function(
    node: ast.AST, lines: Sequence[str]
) -> Iterator[tuple[int, int, int, str]]:
    """A built-in function that is mistaken for a relative."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func
        for other in _FUNCTIONS_BY_NAME.get(name.id, ()):
            yield name.lineno, name.col_offset, name.end_col_offset or 0, other


def exception(
    node: ast.AST, lines: Sequence[str]
) -> Iterator[tuple[int, int, int, str]]:
    """Another exception than the one that is raised or caught."""
    found: list[ast.expr | None] = []
    if isinstance(node, ast.Raise):
        found = [node.exc.func if isinstance(node.exc, ast.Call) else node.exc]
    elif isinstance(node, ast.ExceptHandler):
        found = [*node.type.elts] if isinstance(node.type, ast.Tuple) else [node.type]
    for one in found:
        if isinstance(one, ast.Name):
            for other in _EXCEPTIONS:
                if other != one.id:
                    yield one.lineno, one.col_offset, one.end_col_offset or 0, other


def slice_bound(
    node: ast.AST, lines: Sequence[str]
) -> Iterator[tuple[int, int, int, str]]:
    """A slice that lacks a bound, or has its bounds or its end turned round."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
        return
    bounds = node.slice
    if bounds.step is not None or not _on_one_line(bounds):  # pyright: ignore[reportArgumentType]
        return
    text = lines[bounds.lineno - 1]
    low, high = (
        "" if bound is None else text[bound.col_offset : bound.end_col_offset]
        for bound in (bounds.lower, bounds.upper)
    )
    for other in (
        f"{high}:{low}",
        f"{low}:",
        f":{high}",
        ":",
        f"{low or high}:{low or high}",
    ):
        yield bounds.lineno, bounds.col_offset, bounds.end_col_offset or 0, other
