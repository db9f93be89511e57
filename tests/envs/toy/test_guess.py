"""Number guessing: the optimum is known, so the environment can be checked against it."""

from __future__ import annotations

import math

import pytest

from envs.rollout import play
from envs.toolspec import render_call
from envs.toy.guess import ToyGuess
from scgrpo.policies.scripted import ScriptedPolicy


@pytest.fixture
def env():
    return ToyGuess()


def start(env, number, level=1):
    """A window of seven numbers, 4 to 10, at level 1."""
    low = 4
    high = low + 2 ** (level + 2) - 2
    task_id = f"train/{level}/{low}-{high}/{number}"
    env.reset(options={"split": "train", "level": level, "task_id": task_id})


def test_the_replies_point_to_the_number(env):
    start(env, 6)
    assert env.step("7")[0] == "lower"
    assert env.step(" 5\n")[0] == "higher"
    assert env.step("6")[1:4] == (1.0, True, False)


def test_a_tool_call_is_the_same_guess(env):
    start(env, 6)
    assert env.step(render_call("guess", number=7))[0] == "lower"
    assert (
        env.step(f"<tool_call>{render_call('guess', number=6)}</tool_call>")[1] == 1.0
    )


@pytest.mark.parametrize(
    "turn", ["", "six", "6.0", "6 or 7", "9" * 5000, "٦", "+6", "0x6"]
)
def test_other_turns_are_malformed(env, turn):
    start(env, 6)
    assert env.step(turn)[4]["malformed"] == 1


def test_the_guesses_of_binary_search_by_hand(env):
    def guesses(number):
        start(env, number)
        return env.oracle(env.task)

    assert guesses(7) == ["7"]
    assert guesses(4) == ["7", "5", "4"]
    assert guesses(9) == ["7", "9"]
    assert guesses(10) == ["7", "9", "10"]


def test_binary_search_solves_every_task_and_so_is_the_optimum(env):
    for level in env.levels:
        assert env.optimum(level) == 1.0
        for split in env.splits:
            for task in env.tasks(split, level):
                assert (
                    play(env, ScriptedPolicy(env.oracle(task)), task).verified is True
                )


def best_policy(size, guesses):
    """Numbers that the best policy finds, by exhaustive search over first guesses."""
    if size == 0 or guesses == 0:
        return 0
    return 1 + max(
        best_policy(left, guesses - 1) + best_policy(size - 1 - left, guesses - 1)
        for left in range(size)
    )


@pytest.mark.parametrize("level", [0, 1])
def test_the_closed_forms_hold(env, level):
    size, guesses = 2 ** (level + 2) - 1, level + 2
    assert len(env.tasks("train", level)) == 3 * size
    assert env.turn_budget(env.tasks("train", level)[0]) == guesses
    assert best_policy(size, guesses) / size == env.optimum(level)
    assert best_policy(size + 1, guesses) == size
    assert env.chance(level) == pytest.approx(1 - ((size - 1) / size) ** guesses)


def test_chance_by_hand(env):
    assert env.chance(0) == pytest.approx(5 / 9)
    assert env.chance(1) == pytest.approx(1 - (6 / 7) ** 3)


def test_ood_difficulty_has_larger_windows(env):
    assert {t.family for t in env.tasks("id", 0)} == {"2-4", "5-7"}
    assert {t.family for t in env.tasks("ood/difficulty", 0)} == {"3-17", "6-20"}


def test_what_solves_a_task_fails_on_its_twin(env):
    for split in env.splits:
        tasks = env.tasks(split, 0)
        for task in tasks:
            twin = env.twin(task)
            assert twin in tasks
            assert twin.family == task.family
            assert env.critical(twin) != env.critical(task)
            answer = env.critical(task) * env.turn_budget(task)
            assert play(env, ScriptedPolicy(answer), task).verified is True
            assert play(env, ScriptedPolicy(answer), twin).verified is False


def test_the_prompt_is_short_and_holds_no_answer(env):
    start(env, 6)
    assert env.task.prompt == "Guess 4-10."
    assert "number" not in repr(env.task)


def test_the_parts_say_how_far_the_window_is_narrowed_and_states_what_is_known():
    """From 4-6, three numbers: after a guess at its end two are left, in its middle one."""
    env = ToyGuess()
    task = next(
        t for t in env.tasks("train", 0) if t.prompt == "Guess 4-6." and t.id[-1] == "6"
    )
    options = {"split": "train", "level": 0, "task_id": task.id}
    _, start = env.reset(options=options)
    assert start["parts"] == {"narrowed": 0.0}
    started = env.state_hash()
    _, _, _, _, after_four = env.step("4")
    narrowed = env.state_hash()
    assert after_four["parts"] == {
        "narrowed": pytest.approx(1 - math.log(2) / math.log(3))
    }
    env.reset(options=options)
    assert env.step("5")[4]["parts"] == {"narrowed": 1.0}
    # What is no guess narrows nothing and leaves the state as it was.
    env.reset(options=options)
    env.step("hm")
    assert env.state_hash() == started != narrowed


def test_a_snapshot_keeps_what_is_known():
    env, other = ToyGuess(), ToyGuess()
    env.reset(seed=3)
    env.step(str(env.task.payload["number"] - 1))
    other.set_state(env.get_state())
    assert other.checks() == env.checks() != {"narrowed": 0.0}
