"""Episodes on a few rows of each benchmark, without a tool and with Python."""

from __future__ import annotations

import json

import pytest

from envs import registry
from envs.math.published import env as published_env
from envs.math.published import judge
from envs.math.published.env import NO_ANSWER
from envs.math.published.table import BENCHMARKS
from envs.releases import MissingDataError
from envs.rollout import play
from envs.toolspec import render_call
from envs.types import Stop
from scgrpo.policies.scripted import ScriptedPolicy

pytest.importorskip("math_verify", reason="needs the extra `benchmarks`")
pytestmark = pytest.mark.usefixtures("few_rows")

BOXED = r"\boxed{18}"
NAMES = [name for each in BENCHMARKS for name in (each, f"{each}_python")]


def first_task(env, split="id"):
    return env.tasks(split, 0)[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_published_answer_scores_one_on_every_row(name, make_env):
    env = make_env(name)
    assert env.name == name
    for split in env.splits:
        for task in env.tasks(split, 0):
            (turn,) = env.oracle(task)
            episode = play(env, ScriptedPolicy([turn]), task)
            assert episode.verified is True, (task.id, episode.error)
            assert all(span in turn for span in env.critical(task))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", ["", "0", r"\boxed{}", r"\boxed{123456}", "echo"])
def test_turns_without_sense_score_zero(name, turn, make_env):
    env = make_env(name)
    say = (lambda chat: chat[-1]["content"]) if turn == "echo" else (lambda chat: turn)
    for task in env.tasks("id", 0):
        episode = play(env, ScriptedPolicy(say), task)
        assert episode.verified is False, (task.id, episode.error)
        assert episode.verdict.score == 0.0


def test_only_gsm8k_has_tasks_to_train_on():
    splits = {name: registry.make(name).unwrapped.splits for name in NAMES}
    assert splits.pop("gsm8k") == splits.pop("gsm8k_python") == ("train", "id")
    assert set(splits.values()) == {("id",)}


def test_a_wrong_answer_ends_the_episode(make_env):
    env = make_env("gsm8k")
    episode = play(env, ScriptedPolicy([r"\boxed{17}", BOXED]), first_task(env))
    assert episode.verified is False
    assert len(episode.turns) == 1


def test_a_turn_without_an_answer_is_told_so_and_counted(make_env):
    env = make_env("gsm8k")
    episode = play(env, ScriptedPolicy(["It is 18.", BOXED]), first_task(env))
    assert episode.verified is True
    assert episode.malformed == 1
    assert episode.segments[2].text == NO_ANSWER


def test_three_turns_without_an_answer_end_it(make_env):
    env = make_env("gsm8k")
    episode = play(env, ScriptedPolicy(["18"] * 4), first_task(env))
    assert episode.stop is Stop.MAX_TURNS
    assert len(episode.turns) == 3


def test_python_computes_before_the_answer(make_env):
    env = make_env("gsm8k_python")
    call = render_call("python", code="print((16 - 3 - 4) * 2)")
    episode = play(env, ScriptedPolicy([f"First:\n{call}", BOXED]), first_task(env))
    assert episode.verified is True
    assert episode.segments[2].text == "18"
    assert episode.malformed == 0


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("x = 1", "nothing was printed"),
        ("print('a')\n1 / 0", "ZeroDivisionError: division by zero"),
        ("print('1' * 5000 + 'end')", "1" * 1997 + "end"),
        ("while True: print('1' * 1000)", "killed: too much output"),
        ("print('\\ud800')", "UnicodeEncodeError"),
    ],
)
def test_what_a_program_prints_is_shown(code, shown, make_env):
    env = make_env("gsm8k_python")
    env.reset(options={"split": "id", "task_id": "id/0/0"})
    text, *_ = env.step(render_call("python", code=code))
    assert shown in text
    assert len(text) <= 2000


def test_a_program_that_does_not_end_is_killed(make_env, monkeypatch):
    monkeypatch.setattr(published_env, "RUN_S", 1.0)
    env = make_env("gsm8k_python")
    env.reset(options={"split": "id", "task_id": "id/0/0"})
    text, *_ = env.step(render_call("python", code="while True: pass"))
    assert text == "killed after 1 s"


def test_a_box_in_a_programs_text_is_no_answer(make_env):
    env = make_env("gsm8k_python")
    call = render_call("python", code=r"print(r'\boxed{17}')")
    episode = play(env, ScriptedPolicy([call, BOXED]), first_task(env))
    assert episode.verified is True
    assert episode.segments[2].text == r"\boxed{17}"


def test_latex_is_not_mistaken_for_a_broken_call(make_env):
    env = make_env("gsm8k_python")
    turns = [
        r"Half of it is \frac{1}{2}.",
        '{"name": "python", "arguments": {}}',
        '{"name": "python"',
        BOXED,
    ]
    episode = play(env, ScriptedPolicy(turns), first_task(env))
    replies = [segment.text for segment in episode.segments if segment.source == "env"]
    assert replies[0] == NO_ANSWER
    assert "code" in replies[1]
    assert replies[2].startswith("Malformed tool call")
    assert episode.malformed == 3
    assert episode.verified is True


def test_a_task_shows_no_answer_and_keeps_it_in_its_payload(make_env):
    env = make_env("math500")
    task = first_task(env)
    _, info = env.reset(options={"task_id": task.id})
    assert r"\frac{14}{3}" not in json.dumps(info["messages"])
    assert task.payload == {"answer": r"\frac{14}{3}"}


def test_the_same_words_are_one_family(make_env):
    env = make_env("gsm8k")
    tasks = [*env.tasks("train", 0), *env.tasks("id", 0)]
    assert len({task.family for task in tasks}) == 5
    assert (
        env.tasks("id", 0)[0].family
        == make_env("gsm8k_python").tasks("id", 0)[0].family
    )


def test_a_task_that_nothing_could_judge_is_refused_before_it_is_played(
    make_env, monkeypatch
):
    monkeypatch.setattr(judge, "VERSION", "0.0.0")
    env = make_env("math500")
    assert len(env.tasks("id", 0)) == 7
    with pytest.raises(MissingDataError, match=r"by math-verify 0\.0\.0, got 0\.9\.0"):
        env.reset()
