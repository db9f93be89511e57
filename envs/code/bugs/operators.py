"""Mutation operators beyond signs and numbers: names, arguments, bounds and jumps.

Each yields the changes of one node.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

from envs.code.bugs.changes import Change, is_on_one_line, replacement, text_of

__all__ = [
    "argument_swap",
    "condition",
    "exception",
    "function_name",
    "jump",
    "method_name",
    "slice_bound",
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


def argument_swap(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """Two neighbouring arguments of a call in each other's place."""
    if not isinstance(node, ast.Call):
        return
    for left, right in pairwise(node.args):
        if not _can_swap(left, right):
            continue

        line = lines[left.lineno - 1]
        first = text_of(left, line)
        second = text_of(right, line)
        # Comma and spaces stay as they were.
        between = line[left.end_col_offset : right.col_offset]
        yield Change(
            line=left.lineno,
            column=left.col_offset,
            end=right.end_col_offset or 0,
            after=f"{second}{between}{first}",
        )


def _can_swap(left: ast.expr, right: ast.expr) -> bool:
    if isinstance(left, ast.Starred) or isinstance(right, ast.Starred):
        return False
    # A generator that is not the only argument needs brackets of its own.
    if isinstance(left, ast.GeneratorExp):
        return False
    if left.lineno != right.lineno:
        return False
    return is_on_one_line(left) and is_on_one_line(right)


def jump(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A `break` or `continue` that does something else."""
    if isinstance(node, ast.Break):
        word = "break"
    elif isinstance(node, ast.Continue):
        word = "continue"
    else:
        return

    for other in ("break", "continue", "pass", "return"):
        if other != word:
            yield replacement(node, other)


def condition(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A condition with one half left out, or one that always or never holds."""
    if isinstance(node, ast.BoolOp):
        halves = node.values
        if len(halves) == 2 and is_on_one_line(node):
            for half in halves:
                after = text_of(half, lines[node.lineno - 1])
                yield replacement(node, after)
    elif isinstance(node, ast.If | ast.IfExp) and is_on_one_line(node.test):
        yield replacement(node.test, "True")
        yield replacement(node.test, "False")


def method_name(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A method of text, lists, dictionaries or patterns that is mistaken for a relative."""
    if not isinstance(node, ast.Call):
        return
    method = node.func
    if not isinstance(method, ast.Attribute):
        return

    # The name ends the expression in front of the bracket, which may have begun lines above.
    end = method.end_col_offset or 0
    for other in _METHODS_BY_NAME.get(method.attr, ()):
        yield Change(
            line=method.end_lineno or 0,
            column=end - len(method.attr),
            end=end,
            after=other,
        )


def function_name(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A built-in function that is mistaken for a relative."""
    if not isinstance(node, ast.Call):
        return
    name = node.func
    if isinstance(name, ast.Name):
        for other in _FUNCTIONS_BY_NAME.get(name.id, ()):
            yield replacement(name, other)


def exception(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """Another exception than the one that is raised or caught."""
    for kind in _exception_classes(node):
        if not isinstance(kind, ast.Name):
            continue
        for other in _EXCEPTIONS:
            if other != kind.id:
                yield replacement(kind, other)


def _exception_classes(node: ast.AST) -> Sequence[ast.expr | None]:
    if isinstance(node, ast.Raise):
        raised = node.exc
        if isinstance(raised, ast.Call):
            return [raised.func]
        return [raised]
    if isinstance(node, ast.ExceptHandler):
        caught = node.type
        if isinstance(caught, ast.Tuple):
            return caught.elts
        return [caught]
    return []


def slice_bound(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A slice that lacks a bound, or has its bounds or its end turned round."""
    if not isinstance(node, ast.Subscript):
        return
    bounds = node.slice
    if not isinstance(bounds, ast.Slice):
        return
    if bounds.step is not None or not is_on_one_line(bounds):
        return

    line = lines[bounds.lineno - 1]
    low = text_of(bounds.lower, line)
    high = text_of(bounds.upper, line)
    # With one bound alone, the last change is an empty slice at it.
    middle = low or high
    yield replacement(bounds, f"{high}:{low}")
    yield replacement(bounds, f"{low}:")
    yield replacement(bounds, f":{high}")
    yield replacement(bounds, ":")
    yield replacement(bounds, f"{middle}:{middle}")
