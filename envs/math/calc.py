"""Exact arithmetic on text: an expression is parsed, walked with limits, and never executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from fractions import Fraction

from envs.parsing import parse

__all__ = ["CalcError", "apply", "evaluate"]

MAX_CHARS = 200
MAX_EXPONENT = 16
MAX_NUMBER = 10**18

_ALLOWED = re.compile(r"[0-9a-z_+\-*/%(). ]*")
# Python warns of `1or`, reads `1_0` and `1e9`, and none of them is arithmetic here.
_GLUED = re.compile(r"[0-9.][a-z_]")
_TYPED = str.maketrans({"\u00d7": "*", "\u00f7": "/", "\u2212": "-"})
_OPERATORS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Mod: "%",
    ast.Pow: "**",
}


class CalcError(ValueError):
    """What is wrong with an expression, in words for the policy."""


def evaluate(
    text: str, *, names: Mapping[str, Fraction] | None = None, max_operations: int = 20
) -> Fraction:
    """The exact value of an expression. No text raises anything but CalcError.

    Numbers (decimals are exact), `names`, parentheses, + - * / % **. Refused: over 200 characters,
    over `max_operations` binary operators, exponents over 16, a numerator or denominator over
    10**18 on the way.
    """
    if len(text) > MAX_CHARS:
        raise CalcError(f"{len(text)} characters, at most {MAX_CHARS} are read")
    text = text.translate(_TYPED).strip()
    if not _ALLOWED.fullmatch(text) or _GLUED.search(text):
        raise CalcError("only numbers, + - * / % ** and parentheses are understood")
    try:
        tree = parse(text, "eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise CalcError("no arithmetic expression") from None
    count = sum(isinstance(node, ast.BinOp) for node in ast.walk(tree))
    if count > max_operations:
        raise CalcError(f"{count} operations, at most {max_operations} a call")
    return _value(tree, text, names or {})


def apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    """One of + - * / % ** on exact numbers. Raises CalcError where it has no value or is huge.

    % takes whole numbers, a left one of 0 or more and a right one of 1 or more.
    """
    if operator == "+":
        found = left + right
    elif operator == "-":
        found = left - right
    elif operator == "*":
        found = left * right
    elif operator == "**":
        found = _power(left, right)
    elif operator == "/":
        if right == 0:
            raise CalcError("division by zero")
        found = left / right
    elif left.denominator == right.denominator == 1 and left >= 0 and right >= 1:
        found = left % right
    else:
        raise CalcError("% takes whole numbers, 0 or more by 1 or more")
    return _bounded(found)


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > MAX_EXPONENT:
        raise CalcError(f"an exponent must be whole and at most {MAX_EXPONENT}")
    if base == 0 and exponent < 0:
        raise CalcError("division by zero")
    # A whole exponent keeps it a Fraction; the type checker cannot know.
    return Fraction(base ** int(exponent))


def _bounded(value: Fraction) -> Fraction:
    if abs(value.numerator) > MAX_NUMBER or value.denominator > MAX_NUMBER:
        raise CalcError("too large a number")
    return value


def _value(node: ast.expr, text: str, names: Mapping[str, Fraction]) -> Fraction:
    """Depth is bounded by the length of the text."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, text, names), _value(node.right, text, names)
        return apply(_OPERATORS[type(node.op)], left, right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _value(node.operand, text, names)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        # From the text: a float has lost digits already.
        return _bounded(Fraction(ast.get_source_segment(text, node) or "0"))
    if isinstance(node, ast.Name):
        if node.id not in names:
            known = ", ".join(names) or "none"
            raise CalcError(f"no value for {node.id[:20]!r}; known: {known}")
        return names[node.id]
    raise CalcError("only numbers, + - * / % ** and parentheses are understood")
