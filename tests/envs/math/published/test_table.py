"""Rows of every published file are read as questions and answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from envs import registry
from envs.math.published.judge import verdict
from envs.math.published.table import BENCHMARKS, Part, Problem, problems
from envs.releases.repository import FOLDER_VARIABLE
from envs.splits import overlaps


def test_an_answer_of_gsm8k_follows_its_solution(few_rows):
    rows = problems("gsm8k", "train")
    assert rows[0].question.startswith("Natalia sold clips to 48 of her friends")
    assert [row.answer for row in rows] == ["72", "10", "1080"]
    assert [row.answer for row in problems("gsm8k", "id")] == ["18", "3"]


def test_answers_of_math_are_latex(few_rows):
    assert [row.answer for row in problems("math500", "id")] == [
        r"\frac{14}{3}",
        r"\text{Evelyn}",
        "(3,4]",
        "52_8",
        r"1 \pm \sqrt{19}",
        "p - q",
        "1,-2",
    ]


def test_a_question_comes_without_the_chat_around_it(few_rows):
    assert problems("aime25", "id")[1] == Problem(
        "Find the sum of all primes $p<10$.", "17"
    )
    assert problems("hmmt25", "id") == [
        Problem(r"Compute $\frac{1}{2}+\frac{1}{\sqrt{2}}$.", r"\frac{1+\sqrt{2}}{2}")
    ]
    assert problems("aime24", "id")[0].answer == "024"


def test_a_prompt_of_another_form_is_refused():
    row = {"idx": 7, "prompt": "What is 1 + 1?", "reference_solution": "#### 2"}
    with pytest.raises(ValueError, match="row 7: the prompt does not end as expected"):
        BENCHMARKS["aime25"].problem(row)


def test_another_number_of_rows_is_refused(few_rows, monkeypatch):
    benchmark = BENCHMARKS["math500"]
    part = Part(benchmark.parts["id"].file, 500)
    monkeypatch.setitem(BENCHMARKS, "math500", replace(benchmark, parts={"id": part}))
    with pytest.raises(ValueError, match="math500 id has 7 rows, expected 500"):
        problems("math500", "id")


def published_tasks(name):
    pytest.importorskip("math_verify", reason="needs the extra `benchmarks`")
    for part in BENCHMARKS[name].parts.values():
        if not part.file.is_at_hand():
            pytest.skip(
                f"{part.file.name} is not at hand: run scgrpo envs releases {name}, "
                f"or name a folder that holds it in {FOLDER_VARIABLE}"
            )
    env = registry.make(name).unwrapped
    return [task for split in env.splits for task in env.tasks(split, 0)]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_published_splits_share_no_problem(name):
    tasks = published_tasks(name)
    sizes = {split: part.size for split, part in BENCHMARKS[name].parts.items()}
    assert len(tasks) == sum(sizes.values())
    assert overlaps(tasks) == []
    assert [task.id for task in tasks if "<|im_" in task.prompt] == []


def test_what_is_trained_on_is_in_no_benchmarks_evaluation():
    tasks = {name: published_tasks(name) for name in BENCHMARKS}
    train = {task.family for task in tasks["gsm8k"] if task.split == "train"}
    held_out = [task for each in tasks.values() for task in each if task.split == "id"]
    assert len(train) == 7473
    assert [task.id for task in held_out if task.family in train] == []
    # No two benchmarks ask the same question either.
    assert len({task.family for task in held_out}) == len(held_out) == 1909


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_published_answer_is_right_and_another_is_wrong(name, day):
    tasks = [task for task in published_tasks(name) if task.split == "id"]
    for task in day.some(tasks, 200, name):
        answer = task.payload["answer"]
        assert verdict(answer, answer).detail == "right", (task.id, answer)
        assert verdict(answer, "123456789").detail == "wrong", (task.id, answer)
