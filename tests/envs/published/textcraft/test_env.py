"""Episodes of TextCraft."""

from __future__ import annotations

import pytest

from envs.published.textcraft.env import TextCraft
from envs.rollout import play
from envs.splits import overlaps
from scgrpo.policies.scripted import ScriptedPolicy


@pytest.fixture
def env(small_data):
    return TextCraft()


def opened(env, goal):
    for split in env.splits:
        for level in env.levels:
            for task in env.tasks(split, level):
                if task.payload["goal"] == goal:
                    options = {"split": split, "level": level, "task_id": task.id}
                    env.reset(options=options)
                    return task
    raise AssertionError(goal)


def test_a_prompt_lists_what_is_needed_and_names_the_goal(env):
    task = opened(env, "stick")
    head, *commands, blank, goal = task.prompt.split("\n")
    assert (head, blank) == ("Crafting commands:", "")
    assert goal == "Goal: craft stick."
    assert {
        "craft 4 stick using 2 planks",
        "craft 4 a planks using 1 a logs",
        "craft 4 b planks using 1 b log",
        "craft 4 bowl using 3 planks",
    } <= set(commands)


@pytest.mark.parametrize(
    ("turns", "reply"),
    [
        (["inventory"], "Inventory: You are not carrying anything."),
        (["get 2 b log"], "Got 2 b log"),
        (["Thought: I need it.\nAction: get 2 b log"], "Got 2 b log"),
        (["> GET 2 b log."], "Got 2 b log"),
        (["get 1 a planks"], "Could not find a planks"),
        (["get 1 planks"], "Could not find planks"),
        (["get 1 unknown"], "Could not find unknown"),
        (["get 99999 b log"], "Could not execute get 99999 b log"),
        (["hello"], "Could not execute hello"),
        ([""], "Could not execute "),
        (
            ["craft 4 b planks using 1 b log"],
            "Could not find enough items to craft minecraft:b_planks",
        ),
        (
            ["get 9 b log", "craft 4 b planks using 2 b log"],
            "Could not find a valid recipe for minecraft:b_planks",
        ),
        (["craft b planks using b log"], "Wrong item format: b log"),
        (
            ["get 1 b log", "craft 4 b planks using 1 b log"],
            "Crafted 4 minecraft:b_planks",
        ),
        (
            ["get 3 b log", "craft b planks using 1 b log", "inventory"],
            "Inventory: [b log] (2) [b planks] (4)",
        ),
    ],
)
def test_commands_do_what_they_say(env, turns, reply):
    opened(env, "soup")
    for turn in turns:
        text, *_ = env.step(turn)
    assert text == reply


def test_only_what_is_no_command_counts_as_malformed(env):
    opened(env, "soup")
    for turn in ("hello", "get 1 unknown", "craft b planks using b log"):
        *_, info = env.step(turn)
    assert info["malformed"] == 2


def test_crafting_another_item_ends_nothing(env):
    task = opened(env, "stick")
    turns = ["get 1 gem", "craft 2 rod using 1 gem", *env.oracle(task)]
    episode = play(env, ScriptedPolicy(turns), task)
    assert episode.verified is True
    assert len(episode.turns) == len(turns)


def test_a_long_plan_has_time(env):
    task = opened(env, "spoon")
    assert env.turn_budget(task) == 20


def published_tasks():
    env = TextCraft()
    return env, [
        task
        for split in env.splits
        for level in env.levels
        for task in env.tasks(split, level)
    ]


def test_published_goals_are_split_without_overlap(need_files):
    need_files("textcraft")
    env, tasks = published_tasks()
    sizes = [
        len(env.tasks(split, level)) for split in env.splits for level in (0, 1, 2)
    ]
    assert sizes == [80, 195, 87, 45, 96, 41]
    assert overlaps(tasks) == []


def test_every_published_goal_is_crafted_by_the_oracle(need_files):
    need_files("textcraft")
    env, tasks = published_tasks()
    for task in tasks:
        env.reset(
            options={"split": task.split, "level": task.level, "task_id": task.id}
        )
        turns = env.oracle(task)
        assert len(turns) <= env.turn_budget(task)
        for turn in turns:
            _, reward, *_ = env.step(turn)
        assert reward == 1.0, task.id
