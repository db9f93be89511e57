"""Final answers are read strictly."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.math.answers import one_of_several, read_value


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
        ("<think>\nadd\n</think>\n\n7", 7),
        ("<think>Answer: 5?</think>\nAnswer: 7", 7),
        ("Answer: 5?\n</think>\n\n7", 7),
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


def test_any_listed_value_is_as_often_the_answer_however_usual_some_answers_are():
    rng = Random(0)
    places, ranks, ones = [0] * 4, [0] * 4, []

    def draw() -> tuple[str, int]:
        # 1 in half of the draws, 2 in a quarter, and so on, as greatest common divisors are.
        answer = 1 + next(n for n in range(64) if rng.random() < 0.5)
        return f"asks for {answer}", answer

    for _ in range(4000):
        problem, listed = one_of_several(rng, draw, 4, rng.randrange(4))
        answer = problem.removeprefix("asks for ")
        assert len(set(listed)) == 4
        places[listed.index(answer)] += 1
        ranks[sorted(listed, key=int).index(answer)] += 1
        if "1" in listed:
            ones.append(answer == "1")
    # 1000 expected, with a standard deviation of 27.
    assert all(870 < count < 1130 for count in (*places, *ranks))
    assert 0.2 < sum(ones) / len(ones) < 0.3
