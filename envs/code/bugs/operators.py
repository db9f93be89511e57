"""Mutation operators beyond signs and numbers: names, arguments, bounds and jumps.

Each yields the changes of one node.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

__all__ = [
    "Change",
    "argument_swap",
    "condition",
    "exception",
    "function_name",
    "jump",
    "method_name",
    "slice_bound",
]

Change: TypeAlias = "tuple[int, int, int, str]"
"""Line (from 1), first column, column after the last (both from 0), new text."""

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


def argument_swap(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """Two neighbouring arguments of a call in each other's place."""
    arguments = node.args if isinstance(node, ast.Call) else []
    for left, right in pairwise(arguments):
        if isinstance(left, ast.Starred) or isinstance(right, ast.Starred):
            continue
        # A generator that is not the only argument needs brackets of its own.
        if isinstance(left, ast.GeneratorExp) or left.lineno != right.lineno:
            continue
        if not _on_one_line(left) or not _on_one_line(right):
            continue

        text = lines[left.lineno - 1]
        first = text[left.col_offset : left.end_col_offset]
        second = text[right.col_offset : right.end_col_offset]
        between = text[left.end_col_offset : right.col_offset]
        end = right.end_col_offset or 0
        yield left.lineno, left.col_offset, end, f"{second}{between}{first}"


def jump(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A `break`, `continue` or `pass` that does something else."""
    if not isinstance(node, ast.Break | ast.Continue) or node.end_col_offset is None:
        return
    word = "break" if isinstance(node, ast.Break) else "continue"
    for other in ("break", "continue", "pass", "return"):
        if other != word:
            yield node.lineno, node.col_offset, node.end_col_offset, other


def condition(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A condition with one half left out, or one that always or never holds."""
    if isinstance(node, ast.BoolOp) and len(node.values) == 2 and _on_one_line(node):
        text = lines[node.lineno - 1]
        for half in node.values:
            after = text[half.col_offset : half.end_col_offset]
            yield node.lineno, node.col_offset, node.end_col_offset or 0, after
    elif isinstance(node, ast.If | ast.IfExp) and _on_one_line(node.test):
        test = node.test
        for word in ("True", "False"):
            yield test.lineno, test.col_offset, test.end_col_offset or 0, word


def method_name(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A method of text, lists, dictionaries or patterns that is mistaken for a relative."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        function = node.func
        end = function.end_col_offset or 0
        for other in _METHODS_BY_NAME.get(function.attr, ()):
            yield function.end_lineno or 0, end - len(function.attr), end, other


def function_name(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A built-in function that is mistaken for a relative."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func
        for other in _FUNCTIONS_BY_NAME.get(name.id, ()):
            yield name.lineno, name.col_offset, name.end_col_offset or 0, other


def exception(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """Another exception than the one that is raised or caught."""
    for kind in _exception_classes(node):
        if isinstance(kind, ast.Name):
            for other in _EXCEPTIONS:
                if other != kind.id:
                    yield kind.lineno, kind.col_offset, kind.end_col_offset or 0, other


def _exception_classes(node: ast.AST) -> list[ast.expr | None]:
    if isinstance(node, ast.Raise):
        return [node.exc.func if isinstance(node.exc, ast.Call) else node.exc]
    if isinstance(node, ast.ExceptHandler):
        return [*node.type.elts] if isinstance(node.type, ast.Tuple) else [node.type]
    return []


def slice_bound(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A slice that lacks a bound, or has its bounds or its end turned round."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
        return
    bounds = node.slice
    if bounds.step is not None or not _on_one_line(bounds):  # pyright: ignore[reportArgumentType]
        return

    text = lines[bounds.lineno - 1]
    low, high = _text_of(bounds.lower, text), _text_of(bounds.upper, text)
    middle = low or high
    afters = (f"{high}:{low}", f"{low}:", f":{high}", ":", f"{middle}:{middle}")
    for after in afters:
        yield bounds.lineno, bounds.col_offset, bounds.end_col_offset or 0, after


def _text_of(bound: ast.expr | None, line: str) -> str:
    return "" if bound is None else line[bound.col_offset : bound.end_col_offset]
