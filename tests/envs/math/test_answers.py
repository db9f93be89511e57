"""Final answers are read strictly."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.math.answers import choices_around, read_value


@given(st.fractions(-(10**10), 10**10, max_denominator=10**9))
def test_a_fraction_is_read_back(value):
    assert read_value(str(value)) == value
    assert read_value(f"First 1 + 2 = 3.\nAnswer: {value}\n") == value


@given(st.text())
def test_no_text_raises(text):
    assert read_value(text) is None or isinstance(read_value(text), Fraction)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        (" -7\n", -7),
        ("007", 7),
        ("2.50", Fraction(5, 2)),
        ("6/4", Fraction(3, 2)),
        ("-0", 0),
        ("Answer: 7", 7),
        ("answer : 7", 7),
        ("so it is 3 or 4\n\n  Answer: -1/2  ", Fraction(-1, 2)),
    ],
)
def test_values(text, value):
    assert read_value(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7.",
        "+7",
        "1 2 3 42",
        "3, 4",
        "3\n4",
        "the answer is 4",
        "x\n4",
        "Answer: 3\nAnswer: 4",
        "Answer: 3 Answer: 4",
        "Answer: 3 or 4",
        "Answer: 4\nor so",
        "Answer:",
        "1/0",
        "1/2/3",
        "1e3",
        "1,000",
        "0x10",
        "\u0664",
        "\u00bd",
        "nan",
        "inf",
        "9" * 300_000,
        '{"name": "calc"}',
    ],
)
def test_what_is_no_single_value(text):
    assert read_value(text) is None


def test_the_answer_stands_anywhere_among_the_choices():
    rng = Random(0)
    ranks, places = [0] * 8, [0] * 8
    for _ in range(4000):
        listed = choices_around(rng, 50, 8)
        assert len(set(listed)) == 8
        assert max(map(int, listed)) > 50
        places[listed.index("50")] += 1
        ranks[sorted(map(int, listed)).index(50)] += 1
    # 500 and 571 expected; five standard deviations of a count are about 110.
    assert all(390 < count < 610 for count in places)
    assert all(460 < count < 690 for count in ranks[:7])
    assert ranks[7] == 0


def test_choices_are_never_below_zero():
    rng = Random(0)
    assert all(int(choice) >= 0 for _ in range(500) for choice in choices_around(rng, 1, 4))
