"""Which answer a turn gives, and which answers are plain numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.math.published.answers import boxed_answer, exact_value


@pytest.mark.parametrize(
    ("turn", "answer"),
    [
        (r"\boxed{7}", "7"),
        (r"So it is $\boxed{ \frac{1}{2} }$.", r"\frac{1}{2}"),
        (r"First \boxed{1}, no: \boxed{2}", "2"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{a\\}", r"a\\"),
        (r"\boxed{", None),
        (r"\boxed{1} and then \boxed{2", None),
        (r"\boxed{}", None),
        (r"\boxed{ }", None),
        (r"\boxed 7", None),
        ("7", None),
        ("", None),
        (rf"\boxed{{{'1' * 1000}}}", "1" * 1000),
        (rf"\boxed{{{'1' * 1001}}}", None),
    ],
)
def test_the_last_box_is_the_answer(turn, answer):
    assert boxed_answer(turn) == answer


@given(st.text(alphabet="\\{}boxed1", max_size=60))
def test_no_turn_raises_and_an_answer_closes_its_braces(text):
    answer = boxed_answer(text)
    if answer is not None:
        plain = answer.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
        assert plain.count("{") == plain.count("}")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("025", Fraction(25)),
        ("-3", Fraction(-3)),
        ("1,080", Fraction(1080)),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("2.50", Fraction(5, 2)),
        ("6/4", Fraction(3, 2)),
        (r"\frac{14}{3}", Fraction(14, 3)),
        (r"-\dfrac{1}{2}", Fraction(-1, 2)),
        (r"\frac{-1}{2}", Fraction(-1, 2)),
        (r"\frac43", Fraction(4, 3)),
        ("$18$", Fraction(18)),
        ("1,08", None),
        ("1/0", None),
        (r"\frac{1}{0}", None),
        (r"-\frac10", None),
        ("52_8", None),
        (r"336^\circ", None),
        (r"50\%", None),
        ("x", None),
        ("1,-2", None),
        ("", None),
    ],
)
def test_plain_numbers_alone_have_an_exact_value(answer, value):
    assert exact_value(answer) == value
