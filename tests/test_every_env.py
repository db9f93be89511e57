"""What every registered environment promises."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from envs import registry
from envs.rollout import play
from envs.splits import overlaps
from envs.types import Stop
from scgrpo.policies.scripted import RandomPolicy, ScriptedPolicy

every_env = pytest.mark.parametrize("name", registry.names())

EPISODES = 200
LEAST_CHANCE = 0.1
NO_CHOICE = {("tool_files", "ood/domain")}
"""Splits of outside data whose easiest tasks are no closed choice."""

TASKS_PER_SPLIT = 2


def some_tasks(env, day):
    """A few tasks of every split at every level, spread out evenly; some of them each day."""
    return day.some(spread_tasks(env), 6, env.name)


def spread_tasks(env):
    for split in env.splits:
        for level in env.levels:
            tasks = env.tasks(split, level)
            count = min(TASKS_PER_SPLIT, len(tasks))
            for place in np.linspace(0, len(tasks) - 1, count).astype(int):
                yield tasks[int(place)]


@every_env
def test_gymnasium_finds_nothing_wrong(name, make_env):
    env = make_env(name)
    # The checker copies the constructor's arguments, and a pool of sandboxes has no copy.
    env.spec = dataclasses.replace(env.spec, kwargs={})
    check_env(env)


LIST_TASKS = """
import json, sys
from envs import registry

env_class = type(registry.make(sys.argv[1]).unwrapped)
# Which task a seed picks must not need a sandbox.
Dry = type("Dry", (env_class,), {"begin": lambda self, task: None, "end": lambda self: None})
env = Dry()
found = []
for split in env.splits:
    for level in env.levels:
        for seed in (0, 7):
            env.reset(seed=seed, options={"split": split, "level": level})
            found.append([env.task.id, env.task.content_hash])
        found += [[task.id, task.content_hash] for task in env.tasks(split, level)[:20]]
print(json.dumps(found))
"""


@pytest.mark.daily(1)  # the check `deterministic` takes others each day
@every_env
def test_a_seed_gives_the_same_task_in_every_process(name):
    first, second = (
        subprocess.run(
            [sys.executable, "-c", LIST_TASKS, name],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for hash_seed in ("1", "2")
    )
    assert json.loads(first)
    assert first == second


COUNT_TASKS = """
import json
from envs import registry
from envs.types import Task

made = 0
check = Task.__post_init__

def count(task):
    global made
    made += 1
    check(task)

Task.__post_init__ = count
rows = []
for name in registry.names():
    env = registry.make(name).unwrapped
    for split in env.splits:
        for level in env.levels:
            before = made
            rows.append([name, split, level, len(env.tasks(split, level)), made - before])
print(json.dumps(rows))
"""
FEW = 600
"""A split of this number of tasks may make them all to be counted."""


def test_the_sizes_of_splits_are_known_before_their_tasks_are_made():
    done = subprocess.run(
        [sys.executable, "-c", COUNT_TASKS], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row[0] for row in rows} == set(registry.names())
    for name, split, level, size, made in rows:
        assert made == 0 or made == size <= FEW, (name, split, level)


@pytest.mark.daily(3)  # each draws all tasks of an environment
@every_env
def test_splits_share_no_family_and_no_content(name, make_env):
    env = make_env(name)
    tasks = [
        t
        for split in env.splits
        for level in env.levels
        for t in env.tasks(split, level)
    ]
    assert overlaps(tasks) == []


@pytest.mark.daily(3)
@every_env
def test_tasks_say_where_they_belong(name, make_env):
    env = make_env(name)
    for split in env.splits:
        for level in env.levels:
            tasks = env.tasks(split, level)
            assert len(tasks) > 0
            # The number that is known before they are made is that of the tasks.
            assert len(tasks) == len({task.id for task in tasks})
            for task in tasks:
                assert (task.split, task.level) == (split, level)
                assert task.id.startswith(f"{split}/{level}/")


@every_env
def test_the_oracle_scores_one_and_holds_the_critical_spans(name, make_env, day):
    env = make_env(name)
    for task in some_tasks(env, day):
        turns = env.oracle(task)
        episode = play(env, ScriptedPolicy(turns), task)
        assert episode.verified is True, (task.id, episode.error, episode.verdict)
        assert episode.verdict.score == 1.0
        assert episode.malformed == 0
        critical = env.critical(task)
        assert critical
        assert all(any(span in turn for turn in turns) for span in critical)


def options_of(task, **others):
    return {"split": task.split, "level": task.level, "task_id": task.id, **others}


@every_env
def test_a_reset_that_names_no_task_says_got_expected_and_what_to_do(name, make_env):
    env = make_env(name)
    task = env.tasks(env.splits[0], env.levels[0])[0]
    levels, splits = ", ".join(map(str, env.levels)), ", ".join(env.splits)
    too_high = env.levels[-1] + 1
    elsewhere = env.tasks(env.splits[1], env.levels[0])[0]
    refused = [
        (options_of(task, split="trian"), ["'trian'", f"expected one of {splits}"]),
        (options_of(task, split=None), ["None", f"expected one of {splits}"]),
        (
            options_of(task, level=too_high),
            [str(too_high), f"expected one of {levels}"],
        ),
        (options_of(task, level=-1), ["-1", f"expected one of {levels}"]),
        (options_of(task, level=True), ["True", f"expected one of {levels}"]),
        (options_of(task, spilt="id"), ["'spilt'", "expected split, level or task_id"]),
        (
            options_of(task, task_id=elsewhere.id),
            [elsewhere.id, task.split, "pass the split"],
        ),
        (
            options_of(task, task_id="nothing"),
            ["'nothing'", task.split, "pass the split"],
        ),
    ]
    for options, told in refused:
        with pytest.raises(ValueError) as error:  # noqa: PT011 - what it says is tested below
            env.reset(options=options)
        assert [part for part in told if part not in str(error.value)] == [], (
            error.value
        )


@every_env
def test_a_turn_outside_an_episode_says_to_reset(name, make_env):
    env = make_env(name)
    with pytest.raises(ResetNeeded, match=r"no episode to step: call reset\(\)"):
        env.step("x")
    task = env.tasks(env.splits[0], env.levels[0])[0]
    env.reset(options=options_of(task))
    while not any(env.step("no turn of sense")[2:4]):
        pass
    with pytest.raises(ResetNeeded, match=r"no episode to step: call reset\(\)"):
        env.step(env.oracle(task)[-1])


@pytest.mark.daily(1, per="name")
@every_env
@pytest.mark.parametrize("action", [None, 7, b"x", ["x"], {"name": "submit"}])
def test_an_action_that_is_no_text_is_told_and_costs_nothing(name, action, make_env):
    env = make_env(name)
    task = env.tasks(env.splits[0], env.levels[0])[0]
    env.reset(options=options_of(task))
    with pytest.raises(TypeError) as error:
        env.step(action)
    assert f"must be a str, got {type(action).__name__}: {action!r}" in str(error.value)
    results = [env.step(turn) for turn in env.oracle(task)]
    assert results[-1][1] == 1.0


def deciding(env, task):
    """The oracle's turns from the first that decides; those before may be a search."""
    turns, spans = env.oracle(task), env.critical(task)
    return turns[
        min(max(i for i, t in enumerate(turns) if span in t) for span in spans) :
    ]


@every_env
def test_what_solves_a_task_fails_on_its_twin_and_the_other_way_round(
    name, make_env, day
):
    env = make_env(name)
    cells = [(env.splits[0], level) for level in env.levels]
    cells += [(split, env.levels[0]) for split in env.splits[1:]]
    pairs = []
    for task in (env.tasks(split, level)[0] for split, level in cells):
        with suppress(ValueError):  # a task without a twin
            pairs.append((task, env.twin(task)))
    assert len(pairs) >= len(env.levels)
    for task, twin in day.some(pairs, 3, name):
        assert (twin.split, twin.level) == (task.split, task.level)
        assert twin.content_hash != task.content_hash
        for one, other in ((task, twin), (twin, task)):
            env.find = lambda *_, one=one: one
            assert play(env, ScriptedPolicy(env.oracle(one)), one).verified is True, (
                one.id
            )
            crossed = play(env, ScriptedPolicy(deciding(env, other)), one)
            assert crossed.verified is False, (one.id, crossed.error)


@pytest.mark.daily(1, per="name")
@every_env
@pytest.mark.parametrize(
    "turn", ["", "garbage", "\x00\ud800🙂", '{"name": "submit"', "echo"]
)
def test_turns_without_sense_score_zero(name, turn, make_env):
    env = make_env(name)
    say = (lambda chat: chat[-1]["content"]) if turn == "echo" else (lambda chat: turn)
    for split in env.splits:
        task = env.tasks(split, env.levels[0])[0]
        episode = play(env, ScriptedPolicy(say), task)
        assert episode.verified is False, (task.id, episode.error)
        assert episode.verdict.score == 0.0
        assert episode.stop in (Stop.MAX_TURNS, Stop.FINISHED)


@every_env
def test_an_episode_is_re_entered_from_a_snapshot(name, make_env, day):
    env, other = make_env(name), make_env(name)
    task = max(some_tasks(env, day), key=lambda task: len(env.oracle(task)))
    turns = env.oracle(task)
    half = len(turns) // 2
    env.reset(options={"split": task.split, "level": task.level, "task_id": task.id})
    for turn in turns[:half]:
        env.step(turn)
    state = json.loads(json.dumps(env.get_state()))
    env.close()
    other.set_state(state)
    results = [other.step(turn) for turn in turns[half:]]
    assert results[-1][1:4] == (1.0, True, False)


def boxed(env):
    return "sandboxes" in inspect.signature(type(env)).parameters


def chance_share(env, split, episodes):
    """Share of so many episodes of level 0 that random turns solve."""
    tasks = env.tasks(split, env.levels[0])
    rng = np.random.default_rng(0)
    solved = 0
    for seed in range(episodes):
        task = tasks[int(rng.integers(len(tasks)))]
        episode = play(env, RandomPolicy(env), task, seed=seed)
        assert episode.verdict is not None, episode.error
        assert episode.malformed == 0
        solved += episode.verdict.passed
    return solved / episodes


@pytest.mark.slow
@every_env
def test_chance_solves_level_zero_as_often_as_it_claims(name, make_env, day):
    env = make_env(name)
    claimed = env.chance(env.levels[0])
    assert claimed >= LEAST_CHANCE
    episodes = day.count(30, EPISODES) if boxed(env) else EPISODES
    # Four standard errors: a true claim fails here once in fifteen thousand seeds.
    tolerance = 4 * math.sqrt(claimed * (1 - claimed) / episodes)
    assert abs(chance_share(env, "train", episodes) - claimed) <= tolerance


@pytest.mark.slow
@every_env
def test_chance_solves_level_zero_of_every_split_often_enough_to_learn_from(
    name, make_env, day
):
    env = make_env(name)
    # One in four is told from one in ten by few episodes in boxes, nine in a hundred by many.
    episodes = 60 if boxed(env) else 2000
    splits = [split for split in env.splits if (name, split) not in NO_CHOICE]
    shares = {
        split: chance_share(env, split, episodes) for split in day.some(splits, 1, name)
    }
    assert {
        split: share for split, share in shares.items() if share < LEAST_CHANCE
    } == {}
