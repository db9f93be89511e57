"""math_chain: what it asks, how it judges, and that its labels are right."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import pytest

from envs.math.chain import MathChain
from envs.toolspec import render_call
from envs.types import Task

NUMBERS = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
} | {
    word: 10 * tens
    for tens, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"],
        start=2,
    )
}
SIGNS = {"divided by": "/", "plus": "+", "minus": "-", "times": "*", "modulo": "%"}


@pytest.fixture
def env():
    return MathChain()


def solved_from_the_prompt(prompt: str) -> Fraction:
    """The value of a prompt by Python's own arithmetic, from nothing but its text."""
    question = prompt.split(" = ?")[0]
    if base := re.match(r"Numbers in base (\d), answer in base 10: ", question):
        text = question[base.end() :]
        question = re.sub(r"\d+", lambda found: str(int(found[0], int(base[1]))), text)
    for word, sign in SIGNS.items():
        question = question.replace(f" {word} ", f" {sign} ")
    question = re.sub(r"[a-z]+(-[a-z]+)?", _number, question)
    if question.startswith("p(x) = "):
        body, _, call = question.removeprefix("p(x) = ").partition("; p")
        body = re.sub(r"(\d)x", r"\1*x", body).replace("^", "**")
        return eval(_exact(body), {"Fraction": Fraction, "x": eval(_exact(call))})
    names = {"gcd": _whole(math.gcd), "lcm": _whole(math.lcm), "Fraction": Fraction}
    return eval(_exact(question), names)


def _exact(text: str) -> str:
    return re.sub(r"(\d+)", r"Fraction(\1)", text)


def _whole(function):
    return lambda *values: Fraction(function(*(value.numerator for value in values)))


def _number(found: re.Match[str]) -> str:
    parts = found[0].split("-")
    return str(sum(NUMBERS[p] for p in parts)) if parts[0] in NUMBERS else found[0]


def a_task(formula, answer: str, choices=(), level: int = 3) -> Task:
    payload = {
        "formula": formula,
        "answer": answer,
        "way": "digits",
        "choices": list(choices),
    }
    return Task(f"train/{level}/x", "train", level, "f", "p", payload)


def start(env, monkeypatch, task: Task) -> None:
    monkeypatch.setattr(env, "find", lambda *_: task)
    env.reset(
        seed=0, options={"split": task.split, "level": task.level, "task_id": task.id}
    )


@pytest.mark.parametrize("split", MathChain.splits)
def test_the_answers_follow_from_the_prompts(split, env):
    for level in env.levels:
        for task in env.tasks(split, level)[:300]:
            assert solved_from_the_prompt(task.prompt) == Fraction(
                task.payload["answer"]
            ), task


@pytest.mark.parametrize("split", MathChain.splits)
def test_a_twin_differs_in_one_number_and_in_its_answer(split, env):
    for level in env.levels:
        for task in env.tasks(split, level)[:60]:
            twin = env.twin(task)
            answer = Fraction(twin.payload["answer"])
            assert solved_from_the_prompt(twin.prompt) == answer
            assert answer != Fraction(task.payload["answer"])
            ours, theirs = task.prompt.split(), twin.prompt.split()
            # "ninety-nine" and "(ninety-nine" are one word; 1x is written x, so lengths may differ.
            if len(ours) == len(theirs) and "x" not in task.prompt:
                assert sum(a != b for a, b in zip(ours, theirs, strict=True)) == 1
            if level == 0:
                assert str(answer) in task.payload["choices"]


def test_the_levels_ask_what_the_datasheet_says(env):
    def size(split, level):
        return {
            len(re.findall(r"\d+", t.prompt.split("=")[0]))
            for t in env.tasks(split, level)
        }

    assert [size("train", level) for level in env.levels] == [{2}, {2}, {3}, {4}, {5}]
    assert [size("ood/difficulty", n) for n in env.levels] == [
        {8},
        {8},
        {10},
        {12},
        {14},
    ]
    assert all("/" in task.payload["answer"] for task in env.tasks("train", 4))
    assert all(len(set(task.payload["choices"])) == 8 for task in env.tasks("train", 0))
    assert [len(env.tasks("train", level)) for level in env.levels] == [2000] * 5
    assert {len(env.tasks(s, n)) for s in env.splits[1:] for n in env.levels} == {300}


def test_a_wrong_value_is_reported_and_another_may_follow(env, monkeypatch):
    start(env, monkeypatch, a_task(["/", 7, 2], "7/2"))
    assert env.step("3")[0] == "3 is wrong"
    assert env.step("I think it is\nAnswer: 4")[0] == "4 is wrong"
    assert env.step("3")[0] == "3 was tried"
    assert env.step("3.5")[1:4] == (1.0, True, False)


def test_the_fourth_wrong_value_ends_the_episode(env, monkeypatch):
    start(env, monkeypatch, a_task(["/", 7, 2], "7/2"))
    ends = [env.step(text)[2:4] for text in ("1", "2", "3", "4")]
    assert ends == [(False, False)] * 3 + [(False, True)]


def test_two_values_may_be_chosen_at_level_zero_and_nothing_else_counts(
    env, monkeypatch
):
    task = a_task(["+", 3, 4], "7", ["5", "6", "7", "8"], level=0)
    start(env, monkeypatch, task)
    assert env.step("5")[0] == "5 is wrong"
    assert env.step("5")[0::3] == ("5 was tried", True)
    start(env, monkeypatch, task)
    assert env.step("9")[0] == "9 is not listed"
    assert env.step("7")[1] == 1.0
    start(env, monkeypatch, task)
    reply, _, _, _, info = env.step(render_call("calc", expression="3 + 4"))
    assert "there is no tool" in reply
    assert info["malformed"] == 1


def test_the_calculator_does_a_part(env, monkeypatch):
    start(env, monkeypatch, a_task(["-", ["*", 3, 4], ["/", 5, 2]], "19/2"))
    assert env.step(render_call("calc", expression="3 * 4 - 5 / 2"))[0] == (
        "calc: 3 operations, at most 2 a call"
    )
    assert env.step(render_call("calc", expression="12 - 5 / 2"))[0] == "19/2"
    assert (
        env.step(render_call("calc", expression="1 / 0"))[0] == "calc: division by zero"
    )
    assert env.step("19/2")[1] == 1.0


def test_a_turn_without_a_value_says_how_to_give_one(env, monkeypatch):
    start(env, monkeypatch, a_task(["+", 3, 4], "7"))
    reply, _, _, _, info = env.step("it is 7 or 8")
    assert reply.startswith("no value found: write it alone")
    assert info["malformed"] == 1


def test_a_snapshot_keeps_what_was_tried_and_computed(env, monkeypatch):
    task = a_task(["+", 3, 4], "7", ["5", "6", "7", "8"], level=0)
    start(env, monkeypatch, task)
    env.step("5")
    other = MathChain()
    monkeypatch.setattr(other, "find", lambda *_: task)
    other.set_state(env.get_state())
    assert other.step("5")[0] == "5 was tried"
