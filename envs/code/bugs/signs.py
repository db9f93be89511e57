"""Mutation operators on signs, numbers, truth and returned values.

Each yields the changes of one node.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from envs.code.bugs.changes import Change, is_on_one_line, replacement

__all__ = [
    "arithmetic",
    "boolean",
    "comparison",
    "constant",
    "negation",
    "off_by_one",
    "return_value",
]

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


def comparison(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A comparison by another sign."""
    if not isinstance(node, ast.Compare):
        return
    left = node.left
    for kind, right in zip(node.ops, node.comparators, strict=True):
        symbol, others = _COMPARISON[type(kind)]
        yield from _between(left, right, symbol, others, lines)
        left = right


def arithmetic(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A computation or an augmented assignment by another sign."""
    if not isinstance(node, ast.BinOp | ast.AugAssign):
        return
    kind = type(node.op)
    if kind not in _ARITHMETIC:
        return

    symbol, others = _ARITHMETIC[kind]
    if isinstance(node, ast.AugAssign):
        assignments = [f"{other}=" for other in others[:2]]
        assignments.append("=")
        yield from _between(
            node.target,
            node.value,
            f"{symbol}=",
            assignments,
            lines,
        )
        return

    # A percent sign behind a constant formats a text as a rule.
    formats_text = kind is ast.Mod and isinstance(node.left, ast.Constant)
    if not formats_text:
        yield from _between(node.left, node.right, symbol, others, lines)


def _between(
    left: ast.expr,
    right: ast.expr,
    symbol: str,
    others: Sequence[str],
    lines: Sequence[str],
) -> Iterator[Change]:
    """Replacements of the operator that stands between two operands on one line."""
    line = left.end_lineno
    end = left.end_col_offset
    if line is None or end is None:
        return
    if line != right.lineno:
        return

    gap = lines[line - 1][end : right.col_offset]
    words = [re.escape(word) for word in symbol.split()]
    match = re.search(r"\s+".join(words), gap)
    if match is None:
        return
    operator = match[0]
    # More than brackets next to it: the operator is not the one that joins the operands.
    around = gap.replace(operator, "", 1)
    if around.strip("() \t"):
        return

    start = end + match.start()
    for other in others:
        yield Change(
            line=line,
            column=start,
            end=start + len(operator),
            after=other,
        )


def boolean(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """`and` for `or` and the other way round, a `not` left out, `True` for `False`."""
    if isinstance(node, ast.BoolOp):
        yield from _other_conjunctions(node, lines)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield from _without_not(node, lines)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield _other_truth(node, node.value)


def _other_conjunctions(node: ast.BoolOp, lines: Sequence[str]) -> Iterator[Change]:
    symbol, other = "or", "and"
    if isinstance(node.op, ast.And):
        symbol, other = "and", "or"
    for left, right in pairwise(node.values):
        yield from _between(left, right, symbol, (other,), lines)


def _without_not(node: ast.UnaryOp, lines: Sequence[str]) -> Iterator[Change]:
    operand = node.operand
    if node.lineno != operand.lineno:
        return
    line = lines[node.lineno - 1]
    gap = line[node.col_offset : operand.col_offset]
    # A bracket in between would be left without its partner.
    if gap.strip() == "not":
        yield Change(
            line=node.lineno,
            column=node.col_offset,
            end=operand.col_offset,
            after="",
        )


def _other_truth(node: ast.Constant, value: bool) -> Change:
    return Change(
        line=node.lineno,
        column=node.col_offset,
        end=node.col_offset + len(str(value)),
        after=str(not value),
    )


def constant(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """Another number, or another text of at most one character."""
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool) or not is_on_one_line(node):
        return
    line = lines[node.lineno - 1]
    first_character = line[node.col_offset : node.col_offset + 1]
    for text in _constant_texts(node.value, first_character):
        yield replacement(node, text)


def _constant_texts(value: object, first_character: str) -> Iterator[str]:
    """What stands instead of a number or a text; `first_character`: of its source."""
    if isinstance(value, int):
        # As keys, because neighbours, double and zero may be the same number.
        numbers = dict.fromkeys((value + 1, value - 1, value * 2, 0))
        for number in numbers:
            # A negative number would bind otherwise: 2**1 is not 2**-1 with a minus elsewhere.
            if number >= 0:
                yield str(number)
    elif isinstance(value, float):
        yield repr(value + 1.0)
        yield repr(value / 2)
    elif isinstance(value, str):
        # Prefixes such as `r` or `b` and longer texts are left alone.
        if len(value) > 1 or first_character not in ("'", '"'):
            return
        for text in ("", " ", "_"):
            if text != value:
                yield f"{first_character}{text}{first_character}"


def negation(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A simple condition turned round."""
    if not isinstance(node, ast.If | ast.While | ast.IfExp):
        return
    test = node.test
    if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
        yield Change(
            line=test.lineno,
            column=test.col_offset,
            end=test.col_offset,
            after="not ",
        )


def off_by_one(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A computed index, slice bound or end of a range moved by one."""
    for bound in _bounds(node):
        if not isinstance(bound, ast.Name | ast.Call | ast.BinOp):
            continue
        line = bound.end_lineno or bound.lineno
        end = bound.end_col_offset or 0
        yield Change(line, end, end, " + 1")
        yield Change(line, end, end, " - 1")


def _bounds(node: ast.AST) -> Sequence[ast.expr]:
    if isinstance(node, ast.Subscript):
        index = node.slice
        if not isinstance(index, ast.Slice):
            return [index]
        bounds = (index.lower, index.upper)
        return [bound for bound in bounds if bound is not None]
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Name) and function.id == "range":
            return node.args
    return []


def return_value(node: ast.AST, lines: Sequence[str]) -> Iterator[Change]:
    """A returned value replaced by None."""
    if not isinstance(node, ast.Return):
        return
    value = node.value
    if value is not None and is_on_one_line(value):
        yield replacement(value, "None")
