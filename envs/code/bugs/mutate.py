"""One-line bugs: places where an operator, a constant or a condition can go wrong.

A mutation is a text span located through `ast`, so that the diff is one line and comments survive.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from envs.code.bugs import operators
from envs.code.bugs.operators import Change
from envs.parsing import parse

__all__ = [
    "HELD_OUT_OPERATORS",
    "OPERATORS",
    "Mutation",
    "functions",
    "mutate",
    "mutations",
]


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


def mutate(text: str, *applied: Mutation) -> str:
    """The text with all mutations applied. Raises ValueError if a span is not as recorded."""
    lines = text.split("\n")  # as ast counts them; splitlines also breaks at form feeds
    # From the end, so that columns of the earlier ones in a line stay right.
    for mutation in sorted(applied, key=_position, reverse=True):
        line = lines[mutation.line - 1]
        span = line[mutation.column : mutation.end]
        if span != mutation.before:
            raise ValueError(
                f"line {mutation.line}: got {span!r} at column {mutation.column}, "
                f"expected {mutation.before!r}: the mutation is of another text"
            )
        head, tail = line[: mutation.column], line[mutation.end :]
        lines[mutation.line - 1] = head + mutation.after + tail
    return "\n".join(lines)


def _position(mutation: Mutation) -> tuple[int, int]:
    return mutation.line, mutation.column


def mutations(text: str) -> list[Mutation]:
    """Every mutation of the functions of a module, by line, then column.

    Docstrings, annotations, decorators, default arguments and code outside functions are left
    alone; so are lines outside ASCII, because ast's byte columns are not characters there.
    """
    lines = text.split("\n")
    by_change: dict[Change, Mutation] = {}
    for name, function in functions(parse(text).body, ""):
        for node in _nodes_inside(function):
            for operator, change in _changes(node, lines):
                line, column, end, after = change
                before = lines[line - 1][column:end]
                if before != after and lines[line - 1].isascii():
                    # Two operators may make one change; the first is its name.
                    mutation = Mutation(
                        operator, name, line, column, end, before, after
                    )
                    by_change.setdefault(change, mutation)
    return [by_change[change] for change in sorted(by_change)]


def _changes(node: ast.AST, lines: Sequence[str]) -> Iterator[tuple[str, Change]]:
    """What each operator, by name, makes of a node."""
    for name, operator in OPERATORS.items():
        for change in operator(node, lines):
            yield name, change


def functions(
    body: Sequence[ast.stmt], prefix: str
) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Top-level functions and methods with their qualified names, which begin with `prefix`."""
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{prefix}{node.name}.")


def _nodes_inside(function: ast.FunctionDef) -> Iterator[ast.AST]:
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
            if node.value is not None:
                waiting.append(node.value)
        elif not isinstance(node, ast.JoinedStr):
            # Columns inside f-strings are wrong before Python 3.12.
            waiting.extend(ast.iter_child_nodes(node))


def _between(
    left: ast.expr,
    right: ast.expr,
    symbol: str,
    others: Sequence[str],
    lines: Sequence[str],
) -> Iterator[Change]:
    """Replacements of the operator that stands between two operands on one line."""
    line, end = left.end_lineno, left.end_col_offset
    if line is None or end is None or line != right.lineno:
        return
    gap = lines[line - 1][end : right.col_offset]
    match = re.search(r"\s+".join(map(re.escape, symbol.split())), gap)
    # More than brackets next to it: the operator is not the one that joins the operands.
    if match and not gap.replace(match[0], "", 1).strip("() \t"):
        start = end + match.start()
        for other in others:
            yield line, start, start + len(match[0]), other


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
    if not isinstance(node, ast.Compare):
        return
    left = node.left
    for kind, right in zip(node.ops, node.comparators, strict=True):
        symbol, others = _COMPARISON[type(kind)]
        yield from _between(left, right, symbol, others, lines)
        left = right


def _arithmetic(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    if not isinstance(node, ast.BinOp | ast.AugAssign):
        return
    if type(node.op) not in _ARITHMETIC:
        return
    symbol, others = _ARITHMETIC[type(node.op)]
    if isinstance(node, ast.AugAssign):
        assignments = [*(f"{other}=" for other in others[:2]), "="]
        yield from _between(node.target, node.value, f"{symbol}=", assignments, lines)
        return
    # A percent sign behind a constant formats a text as a rule.
    if not (isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant)):
        yield from _between(node.left, node.right, symbol, others, lines)


def _boolean(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    if isinstance(node, ast.BoolOp):
        symbol, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield from _between(left, right, symbol, (other,), lines)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        operand = node.operand
        gap = lines[node.lineno - 1][node.col_offset : operand.col_offset]
        # A bracket in between would be left without its partner.
        if node.lineno == operand.lineno and gap.strip() == "not":
            yield node.lineno, node.col_offset, operand.col_offset, ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        end = node.col_offset + len(str(node.value))
        yield node.lineno, node.col_offset, end, str(not node.value)


def _constant(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    if not isinstance(node, ast.Constant) or node.end_col_offset is None:
        return
    value = node.value
    if isinstance(value, bool) or node.lineno != node.end_lineno:
        return
    first_character = lines[node.lineno - 1][node.col_offset : node.col_offset + 1]
    for text in _constant_texts(value, first_character):
        yield node.lineno, node.col_offset, node.end_col_offset, text


def _constant_texts(value: object, first_character: str) -> Iterator[str]:
    """What stands instead of a number or a text; `first_character`: of its source."""
    if isinstance(value, int):
        for other in dict.fromkeys((value + 1, value - 1, value * 2, 0)):
            # A negative number would bind otherwise: 2**1 is not 2**-1 with a minus elsewhere.
            if other >= 0:
                yield str(other)
    elif isinstance(value, float):
        yield repr(value + 1.0)
        yield repr(value / 2)
    elif isinstance(value, str) and len(value) <= 1 and first_character in ("'", '"'):
        for text in ("", " ", "_"):
            if text != value:
                yield f"{first_character}{text}{first_character}"


def _negation(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A simple condition turned round."""
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        test = node.test
        if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            yield test.lineno, test.col_offset, test.col_offset, "not "


def _off_by_one(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A computed index, slice bound or end of a range moved by one."""
    for bound in _bounds(node):
        end = bound.end_col_offset
        if isinstance(bound, ast.Name | ast.Call | ast.BinOp) and end is not None:
            line = bound.end_lineno or bound.lineno
            yield line, end, end, " + 1"
            yield line, end, end, " - 1"


def _bounds(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Subscript):
        index = node.slice
        if not isinstance(index, ast.Slice):
            return [index]
        return [bound for bound in (index.lower, index.upper) if bound is not None]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return list(node.args) if node.func.id == "range" else []
    return []


def _return_value(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
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
    "return": _return_value,
    "argument": operators.argument_swap,
    "condition": operators.condition,
    "jump": operators.jump,
    "method": operators.method_name,
    "function": operators.function_name,
    "exception": operators.exception,
    "slice": operators.slice_bound,
}
"""The mutation operators by name; each yields changes of one node."""

HELD_OUT_OPERATORS = frozenset({"method", "function", "exception", "slice"})
"""Operators that are kept out of training."""
