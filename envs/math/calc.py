"""Exact arithmetic on text: parses an expression and walks it within limits, never runs it."""

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

_NOT_UNDERSTOOD = "only numbers, + - * / % ** and parentheses are understood"
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

    Numbers (decimals are exact), `names`, parentheses, + - * / % **.

    Raises CalcError: over 200 characters, over `max_operations` binary operators, exponents over
    16, or a numerator or denominator over 10**18 on the way.
    """
    if len(text) > MAX_CHARS:
        raise CalcError(f"{len(text)} characters, at most {MAX_CHARS} are read")
    text = text.translate(_TYPED).strip()
    if not _ALLOWED.fullmatch(text) or _GLUED.search(text):
        raise CalcError(_NOT_UNDERSTOOD)

    try:
        tree = parse(text, "eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise CalcError("no arithmetic expression") from None

    # Counted before any value is computed, so that refusing is cheap.
    nodes = ast.walk(tree)
    operations = sum(isinstance(node, ast.BinOp) for node in nodes)
    if operations > max_operations:
        raise CalcError(f"{operations} operations, at most {max_operations} a call")
    return _value(tree, text, names or {})


def apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    """One of + - * / % ** on exact numbers.

    % takes whole numbers: 0 or more on the left, 1 or more on the right.

    Raises CalcError: when the operation has no value, or a huge one.
    """
    if operator == "+":
        result = left + right
    elif operator == "-":
        result = left - right
    elif operator == "*":
        result = left * right
    elif operator == "**":
        result = _power(left, right)
    elif operator == "/":
        result = _quotient(left, right)
    else:
        result = _remainder(left, right)
    return _within_limits(result)


def _quotient(left: Fraction, right: Fraction) -> Fraction:
    if right == 0:
        raise CalcError("division by zero")
    return left / right


def _remainder(left: Fraction, right: Fraction) -> Fraction:
    whole = left.denominator == right.denominator == 1
    if not whole or left < 0 or right < 1:
        raise CalcError("% takes whole numbers, 0 or more by 1 or more")
    return left % right


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > MAX_EXPONENT:
        raise CalcError(f"an exponent must be whole and at most {MAX_EXPONENT}")
    if base == 0 and exponent < 0:
        raise CalcError("division by zero")
    # A whole exponent keeps it a Fraction; the type checker cannot know.
    return Fraction(base ** int(exponent))


def _within_limits(value: Fraction) -> Fraction:
    """The value itself. Raises CalcError when it is too large to compute with."""
    size = max(abs(value.numerator), value.denominator)
    if size > MAX_NUMBER:
        raise CalcError("too large a number")
    return value


def _value(node: ast.expr, text: str, names: Mapping[str, Fraction]) -> Fraction:
    """The value of a node; recursion is bounded by the length of the text."""
    if isinstance(node, ast.BinOp):
        operator = _OPERATORS.get(type(node.op))
        if operator is not None:
            left = _value(node.left, text, names)
            right = _value(node.right, text, names)
            return apply(operator, left, right)

    if isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.USub):
            return -_value(node.operand, text, names)
        if isinstance(node.op, ast.UAdd):
            return _value(node.operand, text, names)

    # By exact type: True and False are constants of a subclass of int.
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        # From the text: a float has lost digits already.
        digits = ast.get_source_segment(text, node)
        return _within_limits(Fraction(digits or "0"))

    if isinstance(node, ast.Name):
        return _lookup(node.id, names)
    raise CalcError(_NOT_UNDERSTOOD)


def _lookup(name: str, names: Mapping[str, Fraction]) -> Fraction:
    if name not in names:
        choices = ", ".join(names) or "none"
        raise CalcError(f"no value for {name[:20]!r}; known: {choices}")
    return names[name]
