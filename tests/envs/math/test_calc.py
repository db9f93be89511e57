"""Arithmetic on text, against Python's own reading of the same text."""

from __future__ import annotations

import re
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.math.calc import MAX_NUMBER, CalcError, apply, evaluate

EXPRESSIONS = st.recursive(
    st.integers(0, 999).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/%"), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-{}".format),
    ),
    max_leaves=12,
)


def python_value(text: str) -> Fraction:
    """What Python makes of it with every number a Fraction."""
    return eval(re.sub(r"(\d+)", r"Fraction(\1)", text), {"Fraction": Fraction})


@given(EXPRESSIONS)
def test_a_value_is_what_python_computes(text):
    try:
        found = evaluate(text, max_operations=99)
    except CalcError as error:
        message = str(error)
        assert (
            "division by zero" in message
            or "% takes" in message
            or "large" in message
            or "200" in message
        )
    else:
        assert found == python_value(text)


@given(st.one_of(st.text(), st.text(alphabet="0123456789+-*/%(). ab_", max_size=220)))
def test_no_text_raises_anything_else(text):
    try:
        found = evaluate(text, names={"a": Fraction(2, 3)})
    except CalcError:
        return
    assert abs(found.numerator) <= MAX_NUMBER
    assert found.denominator <= MAX_NUMBER


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 3 - 2", "5"),
        ("1 / 3 + 1 / 6", "1/2"),
        ("17 % 5", "2"),
        ("2 ** 10", "1024"),
        ("2 ** -2", "1/4"),
        ("0.1 + 0.2", "3/10"),
        ("-3 * -2", "6"),
        ("6 \u00d7 7 \u2212 2 \u00f7 4", "83/2"),
        (" 5 ", "5"),
    ],
)
def test_values_worked_out_by_hand(text, value):
    assert str(evaluate(text)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no arithmetic"),
        ("1 +", "no arithmetic"),
        ("007", "no arithmetic"),
        ("1 / 0", "division by zero"),
        ("1 / (2 - 2)", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("5 % 0", "% takes whole numbers"),
        ("-5 % 3", "% takes whole numbers"),
        ("1 / 2 % 3", "% takes whole numbers"),
        ("9 ** 9 ** 9", "at most 16"),
        ("2 ** 0.5", "at most 16"),
        ("10 ** 10 * 10 ** 10", "too large"),
        ("9" * 30, "too large"),
        ("1" * 201, "at most 200"),
        ("1+" * 30 + "1", "30 operations, at most 20"),
        ("1 // 2", "only numbers"),
        ("1 if 1 else 2", "only numbers"),
        ("().__class__", "only numbers"),
        ("__import__('os')", "only numbers"),
        ("1e9", "only numbers"),
        ("1_0", "only numbers"),
        ("1or 2", "only numbers"),
        ("\u0661 + 1", "only numbers"),
        ("1\n+ 1", "only numbers"),
        ("x + 1", "no value for 'x'; known: none"),
        ("x()", "only numbers"),
        ("[1]", "only numbers"),
        ("not 1", "only numbers"),
        ("(" * 150, "no arithmetic"),
    ],
)
def test_what_is_refused_says_why(text, reason):
    with pytest.raises(CalcError, match=re.escape(reason)):
        evaluate(text)


def test_the_longest_towers_are_refused_at_once():
    started = time.monotonic()
    for text in (
        "9**16**16**16",
        "((9**16)**16)**16",
        "9**9**9**9",
        "(" * 90 + "9" + "**16)" * 9,
    ):
        with pytest.raises(CalcError):
            evaluate(text)
    assert time.monotonic() - started < 1


def test_names_stand_for_values():
    assert evaluate("apples * 2", names={"apples": Fraction(3, 4)}) == Fraction(3, 2)
    with pytest.raises(CalcError, match="no value for 'pears'; known: apples"):
        evaluate("pears", names={"apples": Fraction(1)})


def test_apply_bounds_the_denominator_too():
    with pytest.raises(CalcError, match="too large"):
        apply("/", Fraction(1), Fraction(MAX_NUMBER + 1))
