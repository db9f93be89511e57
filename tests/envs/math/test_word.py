"""math_word: what it asks, how it judges, and that its labels are right."""

from __future__ import annotations

import re

import pytest

from envs.math.stories import ASIDES, STORIES
from envs.math.word import MathWord
from envs.toolspec import render_call
from envs.types import Task

OPERATIONS = {
    "start": lambda _, n: n,
    "add": lambda quantity, n: quantity + n,
    "take": lambda quantity, n: quantity - n,
    "times": lambda quantity, n: quantity * n,
    "share": lambda quantity, n: quantity / n,
    "packs": lambda quantity, a, b: quantity + a * b,
}


def _pattern(sentence: str) -> re.Pattern[str]:
    text = re.escape(sentence)
    for slot, what in (
        ("who", r"[A-Z]\w+"),
        ("n", r"(\d+)"),
        ("a", r"(\d+)"),
        ("b", r"(\d+)"),
    ):
        text = text.replace(re.escape(f"{{{slot}}}"), what)
    return re.compile(text.replace(re.escape("{tail}"), ""))


READ = [
    (_pattern(getattr(story, kind)), operation)
    for story in STORIES.values()
    for kind, operation in OPERATIONS.items()
]
IDLE = [_pattern(aside) for aside in ASIDES]


def solved_from_the_prompt(prompt: str) -> tuple[float, int]:
    """The answer that follows from the sentences alone, and how many of them are idle."""
    quantity, idle = 0.0, 0
    *sentences, question = re.split(r"(?<=[.?]) ", prompt.split("\n")[0])
    assert question.endswith("?")
    for sentence in sentences:
        if any(pattern.fullmatch(sentence) for pattern in IDLE):
            idle += 1
        elif " as many " not in sentence or " now has " not in sentence:
            found = [(p.fullmatch(sentence), operation) for p, operation in READ]
            ((match, operation),) = [(m, operation) for m, operation in found if m]
            quantity = operation(quantity, *map(int, match.groups()))
    return quantity, idle


@pytest.fixture
def env():
    return MathWord()


def start(env, monkeypatch, level=2) -> None:
    part = {
        "story": "apples",
        "who": "Ann",
        "start": 12,
        "steps": [["add", 3], ["times", 2]],
    }
    payload = {
        "parts": [part],
        "asides": [],
        "answer": "30",
        "choices": ["28", "30"][level:],
    }
    task = Task(f"train/{level}/x", "train", level, "f", "p", payload)
    monkeypatch.setattr(env, "find", lambda *_: task)
    env.reset(seed=0, options={"split": "train", "level": level, "task_id": task.id})


def note(line: str) -> str:
    return render_call("note", line=line)


@pytest.mark.parametrize("split", MathWord.splits)
def test_the_answers_follow_from_the_prompts(split, env):
    for level in env.levels:
        for task in env.tasks(split, level)[:200]:
            answer, idle = solved_from_the_prompt(task.prompt)
            assert answer == int(task.payload["answer"]), task.prompt
            assert (idle in (1, 2, 3)) if split == "ood/noise" else idle == 0


@pytest.mark.parametrize("split", MathWord.splits)
def test_a_twin_differs_in_one_number_and_in_its_answer(split, env):
    for level in env.levels:
        for task in env.tasks(split, level)[:60]:
            twin = env.twin(task)
            ours, theirs = task.prompt.split(), twin.prompt.split()
            assert sum(a != b for a, b in zip(ours, theirs, strict=True)) == 1
            assert twin.payload["answer"] != task.payload["answer"]
            assert solved_from_the_prompt(twin.prompt)[0] == int(twin.payload["answer"])
            if level == 0:
                assert twin.payload["answer"] in task.payload["choices"]


def test_the_splits_use_the_templates_that_the_datasheet_says(env):
    def templates(split):
        tasks = [task for level in env.levels for task in env.tasks(split, level)]
        return {part["story"] for task in tasks for part in task.payload["parts"]}

    assert templates("train") == templates("id") == templates("ood/noise")
    assert templates("ood/composition") == templates("train")
    assert len(templates("train")) == 12
    assert templates("ood/domain") == {"tank", "bus", "game", "hike", "battery", "fish"}


def test_the_levels_have_as_many_steps_as_the_datasheet_says(env):
    def steps(split, level):
        tasks = [task.payload["parts"] for task in env.tasks(split, level)]
        return {tuple(len(part["steps"]) for part in parts) for parts in tasks}

    assert [steps("train", n) for n in env.levels] == [
        {(1,)},
        {(1,)},
        {(2,)},
        {(4,)},
        {(6,)},
    ]
    chained = [steps("ood/composition", n) for n in env.levels]
    assert chained == [{(1, 1)}, {(1, 1)}, {(1, 1)}, {(2, 2)}, {(3, 3)}]
    assert all(len(set(task.payload["choices"])) == 4 for task in env.tasks("train", 0))
    assert [len(env.tasks("train", level)) for level in env.levels] == [2000] * 5
    assert {len(env.tasks(s, n)) for s in env.splits[1:] for n in env.levels} == {300}


def test_the_first_value_is_final(env, monkeypatch):
    start(env, monkeypatch)
    reply, reward, terminated, _, _ = env.step("28")
    assert (reply, reward, terminated) == ("28 is wrong", 0.0, True)
    start(env, monkeypatch)
    assert env.step("12 + 3 = 15, twice that.\nAnswer: 30")[1:3] == (1.0, True)


def test_notes_compute_and_are_kept(env, monkeypatch):
    start(env, monkeypatch)
    assert env.step(note("Sum = 12 + 3"))[0] == "sum = 15"
    assert env.step(note("total = sum * 2"))[0] == "total = 30"
    assert env.step("30")[1] == 1.0


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("12 + 3", "note: write a name of letters"),
        ("= 3", "note: write a name of letters"),
        ("x1 = 3", "note: write a name of letters"),
        ("if = 3", "note: write a name of letters"),
        ("x = y + 1", "note: no value for 'y'; known: none"),
        ("x = 1 + 2 + 3 + 4", "note: 3 operations, at most 2 a call"),
        ("x = 1 / 0", "note: division by zero"),
        ("x = 2 == 3", "note: only numbers"),
        ("x = " + " " * 300_000 + "=", "note: 300002 characters, at most 200"),
    ],
)
def test_a_refused_note_says_why(line, reply, env, monkeypatch):
    start(env, monkeypatch)
    assert env.step(note(line))[0].startswith(reply)


def test_there_is_no_scratchpad_where_values_are_listed(env, monkeypatch):
    start(env, monkeypatch, level=0)
    reply, _, _, _, info = env.step(note("x = 12 + 3"))
    assert "there is no tool" in reply
    assert info["malformed"] == 1


def test_three_turns_without_a_value_are_a_failure(env, monkeypatch):
    start(env, monkeypatch)
    ends = [env.step(text)[2:4] for text in ("hm", note("x = 1"), "30 or 31")]
    assert ends == [(False, False), (False, False), (False, True)]


def test_a_snapshot_keeps_the_notes(env, monkeypatch):
    start(env, monkeypatch)
    env.step(note("sum = (12 + 3) / 2"))
    other = MathWord()
    monkeypatch.setattr(other, "find", env.find)
    other.set_state(env.get_state())
    assert other.step(note("total = sum * 4"))[0] == "total = 30"
