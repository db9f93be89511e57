"""math-verify decides, within limits, and a verdict says if fractions disagree with it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from envs.math.published import judge
from envs.math.published.judge import Judge, verdict

pytest.importorskip("math_verify", reason="needs the extra `benchmarks`")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "18"),
        ("25", "025"),
        ("1080", "1,080"),
        ("1080", r"\$1080"),
        (r"\frac{14}{3}", "14/3"),
        ("p - q", "-q + p"),
        (r"\frac{9 \sqrt{23}}{23}", r"\frac{9}{\sqrt{23}}"),
        ("1,-2", "-2, 1"),
        (r"336^\circ", "336"),
        (r"\text{Evelyn}", "Evelyn"),
        ("5", "x = 5"),
    ],
)
def test_equal_answers_are_right(gold, answer):
    judged = verdict(gold, answer)
    assert (judged.passed, judged.score, judged.detail) == (True, 1.0, "right")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "19"),
        ("18", "-18"),
        ("18", "17, 18, 19"),
        ("18", r"18 \text{ or } 19"),
        ("18", "17 < x < 19"),
        ("18", "x"),
        ("(3,4]", "[3,4]"),
        (r"\text{Evelyn}", r"\text{Anna}"),
        ("52_8", "53"),
        ("18", r"\ud800"),
        ("18", "\ud800"),
        ("18", "}{"),
    ],
)
def test_other_answers_are_wrong(gold, answer):
    judged = verdict(gold, answer)
    assert (judged.passed, judged.score, judged.detail) == (False, 0.0, "wrong")


def test_a_rounded_fraction_is_right_by_math_verify_and_the_verdict_names_the_difference():
    # math-verify compares six decimal places.
    judged = verdict(r"\frac{1}{3}", "0.3333333")
    assert judged.passed
    assert judged.detail == (
        "right by math-verify, but as a fraction it differs from the right answer"
    )


def test_a_number_that_math_verify_misreads_is_wrong_and_the_verdict_names_it(
    monkeypatch,
):
    monkeypatch.setattr(Judge, "equal", lambda self, gold, answer: False)
    assert verdict("1/2", "0.5").detail == (
        "wrong by math-verify, but as a fraction it equals the right answer"
    )
    assert verdict("1/2", r"\sqrt{0.25}").detail == "wrong"


@pytest.mark.slow
@pytest.mark.daily(1)  # each waits for the limit of five seconds
@pytest.mark.parametrize("answer", ["9^{9^{9^{9}}}", "10!!!!"])
def test_an_answer_without_end_is_wrong_and_the_next_is_judged(answer):
    judged = verdict("18", answer)
    assert not judged.passed
    assert judged.detail == "wrong: math-verify could not compare it within its limits"
    assert verdict("18", "18").passed


def test_many_threads_get_their_own_verdicts():
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda n: verdict("4", str(n % 8)), range(64)))
    assert [judged.passed for judged in verdicts] == [n % 8 == 4 for n in range(64)]


def test_a_forked_process_has_a_judge_of_its_own():
    assert verdict("1", "1").passed
    mine = judge._judge(os.getpid())
    assert judge._judge(os.getpid()) is mine
    assert judge._judge(-1) is not mine


def test_another_version_of_math_verify_is_refused(monkeypatch):
    monkeypatch.setattr(judge, "VERSION", "0.0.0")
    with (
        closing(Judge()) as other,
        pytest.raises(ImportError, match=r"by math-verify 0\.0\.0, got 0\.9\.0; run"),
    ):
        other.equal("1", "1")


def test_without_math_verify_it_says_what_to_install(monkeypatch, tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text("import no_such_module\n")
    monkeypatch.setattr(judge, "_WORKER", worker)
    with (
        closing(Judge()) as other,
        pytest.raises(ImportError, match=r"got none; run: pip install 'scgrpo\[bench"),
    ):
        other.equal("1", "1")
