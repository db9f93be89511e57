"""One-line bugs: places where an operator, a constant or a condition can go wrong.

A mutation is a text span found through `ast`, so that the diff is one line and comments survive.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from envs.code.bugs import operators
from envs.parsing import parse

__all__ = [
    "HELD_OUT_OPERATORS",
    "OPERATORS",
    "Mutation",
    "functions",
    "mutate",
    "mutations",
]

Change: TypeAlias = "tuple[int, int, int, str]"
"""Line (from 1), first column, column after the last (both from 0), new text."""


@dataclass(frozen=True)
class Mutation:
    """A replacement of one span of one line.

    | field | meaning |
    |---|---|
    | operator | which of `OPERATORS` made it |
    | function | qualified name of the outermost function or method around it |
    | line | from 1 |
    | column, end | columns from 0, `end` excluded |
    | before, after | text of the span |
    """

    operator: str
    function: str
    line: int
    column: int
    end: int
    before: str
    after: str


def mutate(text: str, *found: Mutation) -> str:
    """The text with all mutations applied. Raises ValueError where a span is not as recorded."""
    lines = text.split("\n")  # as ast counts them; splitlines also breaks at form feeds
    for one in sorted(found, key=lambda m: (m.line, m.column), reverse=True):
        line = lines[one.line - 1]
        if line[one.column : one.end] != one.before:
            raise ValueError(
                f"line {one.line}: wanted {one.before!r} at column {one.column}, "
                f"got {line[one.column : one.end]!r}"
            )
        lines[one.line - 1] = line[: one.column] + one.after + line[one.end :]
    return "\n".join(lines)


def mutations(text: str) -> list[Mutation]:
    """Every mutation of the functions of a module, by line, then column.

    Docstrings, annotations, decorators, default arguments and code outside functions are left
    alone; so are lines outside ASCII, where ast's byte columns are not characters.
    """
    lines = text.split("\n")
    found: dict[tuple[int, int, int, str], Mutation] = {}
    for name, function in functions(parse(text).body, ""):
        for node in _inside(function):
            for operator, changes in OPERATORS.items():
                for line, column, end, after in changes(node, lines):
                    before = lines[line - 1][column:end]
                    if before != after and lines[line - 1].isascii():
                        one = Mutation(operator, name, line, column, end, before, after)
                        found.setdefault((line, column, end, after), one)
    return [found[key] for key in sorted(found)]


def functions(
    body: Sequence[ast.stmt], prefix: str
) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Top-level functions and methods with their qualified names."""
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{prefix}{node.name}.")


def _inside(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Nodes of the body, without docstrings and annotations."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        yield node
        if isinstance(node, ast.FunctionDef):
            waiting.extend(node.body)
        elif isinstance(node, ast.AnnAssign):
            waiting.extend([node.value] if node.value else [])
        elif not isinstance(
            node, ast.JoinedStr
        ):  # columns inside f-strings are wrong before 3.12
            waiting.extend(ast.iter_child_nodes(node))


def _between(
    left: ast.expr,
    right: ast.expr,
    symbol: str,
    others: Sequence[str],
    lines: Sequence[str],
) -> Iterator[Change]:
    """Replacements of the operator that stands between two operands on one line."""
    if (
        left.end_lineno is None
        or left.end_col_offset is None
        or left.end_lineno != right.lineno
    ):
        return
    gap = lines[left.end_lineno - 1][left.end_col_offset : right.col_offset]
    match = re.search(r"\s+".join(map(re.escape, symbol.split())), gap)
    if match and not gap.replace(match[0], "", 1).strip("() \t"):
        start = left.end_col_offset + match.start()
        for other in others:
            yield left.end_lineno, start, start + len(match[0]), other


_ORDER = ("<", "<=", ">", ">=", "==", "!=")
_COMPARISON: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", _ORDER),
    ast.LtE: ("<=", _ORDER),
    ast.Gt: (">", _ORDER),
    ast.GtE: (">=", _ORDER),
    ast.Eq: ("==", ("!=", "<", ">", "<=", ">=")),
    ast.NotEq: ("!=", ("==", "<", ">", "<=", ">=")),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, tuple[str, ...]]] = {
    ast.Add: ("+", ("-", "*")),
    ast.Sub: ("-", ("+", "*")),
    ast.Mult: ("*", ("+", "//", "-")),
    ast.Div: ("/", ("//", "*", "-")),
    ast.FloorDiv: ("//", ("/", "*", "%", "-")),
    ast.Mod: ("%", ("//", "*", "+", "-")),
    ast.Pow: ("**", ("*", "+")),
    ast.LShift: ("<<", (">>",)),
    ast.RShift: (">>", ("<<",)),
    ast.BitAnd: ("&", ("|", "^")),
    ast.BitOr: ("|", ("&", "^")),
    ast.BitXor: ("^", ("&", "|")),
}


def _comparison(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        for left, kind, right in zip(
            operands, node.ops, node.comparators, strict=False
        ):
            symbol, others = _COMPARISON[type(kind)]
            yield from _between(left, right, symbol, others, lines)


def _arithmetic(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
            return  # formatting a text
        symbol, others = _ARITHMETIC[type(node.op)]
        yield from _between(node.left, node.right, symbol, others, lines)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        symbol, others = _ARITHMETIC[type(node.op)]
        assigned = [*(f"{other}=" for other in others[:2]), "="]
        yield from _between(node.target, node.value, f"{symbol}=", assigned, lines)


def _boolean(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    if isinstance(node, ast.BoolOp):
        symbol, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from _between(left, right, symbol, (other,), lines)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        operand = node.operand
        gap = lines[node.lineno - 1][node.col_offset : operand.col_offset]
        if (
            node.lineno == operand.lineno and gap.strip() == "not"
        ):  # no bracket in between
            yield node.lineno, node.col_offset, operand.col_offset, ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield (
            node.lineno,
            node.col_offset,
            node.col_offset + len(str(node.value)),
            (str(not node.value)),
        )


def _constant(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    if not isinstance(node, ast.Constant) or node.end_col_offset is None:
        return
    value, span = node.value, (node.lineno, node.col_offset, node.end_col_offset)
    if isinstance(value, bool) or node.lineno != node.end_lineno:
        return
    if isinstance(value, int):
        for other in dict.fromkeys((value + 1, value - 1, value * 2, 0)):
            # A negative number would bind otherwise: 2**1 is not 2**-1 with a minus elsewhere.
            if other >= 0:
                yield *span, str(other)
    elif isinstance(value, float):
        for other in (value + 1.0, value / 2):
            yield *span, repr(other)
    elif (
        isinstance(value, str)
        and len(value) <= 1
        and lines[node.lineno - 1][span[1]] in "'\""
    ):
        quote = lines[node.lineno - 1][span[1]]
        for other in ("", " ", "_"):
            if other != value:
                yield *span, f"{quote}{other}{quote}"


def _negation(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A plain condition turned round."""
    tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp) else []
    for test in tests:
        if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            yield test.lineno, test.col_offset, test.col_offset, "not "


def _off_by_one(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A computed index, slice bound or end of a range moved by one."""
    bounds: list[ast.expr | None] = []
    if isinstance(node, ast.Subscript):
        index = node.slice
        bounds = [index.lower, index.upper] if isinstance(index, ast.Slice) else [index]
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "range"
    ):
        bounds = list(node.args)
    for bound in bounds:
        if (
            isinstance(bound, ast.Name | ast.Call | ast.BinOp)
            and bound.end_col_offset is not None
        ):
            where = (
                bound.end_lineno or bound.lineno,
                bound.end_col_offset,
                bound.end_col_offset,
            )
            yield *where, " + 1"
            yield *where, " - 1"


def _returned(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A returned value replaced by None."""
    if isinstance(node, ast.Return) and node.value is not None:
        value = node.value
        if value.lineno == value.end_lineno and value.end_col_offset is not None:
            yield value.lineno, value.col_offset, value.end_col_offset, "None"


OPERATORS: dict[str, Callable[[ast.AST, Sequence[str]], Iterator[Change]]] = {
    "comparison": _comparison,
    "arithmetic": _arithmetic,
    "boolean": _boolean,
    "constant": _constant,
    "negation": _negation,
    "off_by_one": _off_by_one,
    "return": _returned,
    "argument": operators.swapped_arguments,
    "condition": operators.condition,
    "jump": operators.jump,
    "method": operators.called_method,
    "function": operators.called_function,
    "exception": operators.exception,
    "slice": operators.slice_bound,
}
"""The mutation operators by name; each yields changes of one node."""

HELD_OUT_OPERATORS = frozenset({"method", "function", "exception", "slice"})
"""Operators that are kept out of training."""
