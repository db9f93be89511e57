"""Formulas: the written text has the formula's value."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.math.calc import CalcError
from envs.math.formula import (
    edits,
    in_base,
    in_words,
    infix,
    leaves,
    random_formula,
    value,
)


def python_value(text: str) -> Fraction:
    exact = re.sub(r"(\d+)", r"Fraction(\1)", text)
    return eval(exact, {"Fraction": Fraction})


@given(
    st.integers(0, 10**6),
    st.integers(1, 14),
    st.sampled_from(["+", "+-*", "+-*/%", "+-//"]),
)
def test_the_written_formula_has_the_value_for_python_too(seed, terms, operators):
    formula = random_formula(Random(seed), terms, operators, 20)
    assert len(leaves(formula)) == terms
    try:
        found = value(formula)
    except CalcError:
        return
    assert python_value(infix(formula)) == found


@given(st.integers(0, 10**6), st.sampled_from([3, 5, 7, 8]))
def test_other_bases_name_the_same_numbers(seed, base):
    formula = random_formula(Random(seed), 4, "+-*", 99)
    back = re.sub(
        r"\d+", lambda found: str(int(found[0], base)), in_base(formula, base)
    )
    assert back == infix(formula)


def test_writing_by_hand():
    assert infix(["-", 10, ["-", 3, 2]]) == "10 - (3 - 2)"
    assert infix(["-", ["-", 10, 3], 2]) == "10 - 3 - 2"
    assert infix(["*", ["+", 1, 2], ["%", 7, 4]]) == "(1 + 2) * (7 % 4)"
    assert infix(["gcd", ["lcm", 4, 6], 9]) == "gcd(lcm(4, 6), 9)"
    assert infix(["poly", ["/", 3, 2], 2, 0, -1, 5]) == "p(x) = 2x^3 - x + 5; p(3 / 2)"
    assert infix(["poly", 4, 1, -3]) == "p(x) = x - 3; p(4)"
    assert (
        in_words(["*", ["+", 17, 20], 99])
        == "(seventeen plus twenty) times ninety-nine"
    )
    assert in_words(["%", ["/", 8, 4], 21]) == "eight divided by four modulo twenty-one"


def test_functions_by_hand():
    assert value(["gcd", 12, 18]) == math.gcd(12, 18) == 6
    assert value(["lcm", 4, 6, 10]) == 60
    assert value(["gcd", ["lcm", 4, 6], 9]) == 3
    assert value(["poly", 3, 2, -1, 5]) == 2 * 9 - 3 + 5
    assert value(["poly", ["/", 3, 2], 2, 0, -1]) == Fraction(7, 2)
    with pytest.raises(CalcError, match="gcd takes whole numbers of 1 or more"):
        value(["gcd", ["/", 1, 2], 3])


def test_an_edit_changes_one_number():
    formula = ["+", ["*", 3, 4], 5]
    seen = [leaves(edit) for edit in edits(formula)]
    assert len(seen) == 3 * 98
    assert all(
        sum(a != b for a, b in zip(new, [3, 4, 5], strict=True)) == 1 for new in seen
    )
    assert seen[0] == [3, 4, 4]
