"""What every published benchmark beside mathematics promises, on small data of our own."""

from __future__ import annotations

import pytest

from envs import registry
from envs.rollout import play
from envs.splits import overlaps
from scgrpo.policies.scripted import ScriptedPolicy
from tests.envs.published.small import PAIRS_RIGHT, SUM_RIGHT, published_names

pytestmark = pytest.mark.usefixtures("small_data")
every_benchmark = pytest.mark.parametrize("name", published_names())


def all_tasks(env):
    return [
        task
        for split in env.splits
        for level in env.levels
        for task in env.tasks(split, level)
    ]


def right_turns(env, task):
    """The oracle's turns; for LiveCodeBench, which publishes no solutions, ours."""
    if not env.name.startswith("livecodebench"):
        return env.oracle(task)
    return [PAIRS_RIGHT if "neighbours" in task.prompt else SUM_RIGHT]


@every_benchmark
def test_right_turns_score_one_on_every_task(name, make_env):
    env = make_env(name)
    assert env.name == name
    tasks = all_tasks(env)
    assert tasks
    for task in tasks:
        turns = right_turns(env, task)
        episode = play(env, ScriptedPolicy(turns), task)
        assert episode.verified is True, (task.id, episode.error, episode.segments)


@every_benchmark
def test_what_the_oracle_calls_critical_stands_in_its_turns(name, make_env):
    env = make_env(name)
    if name.startswith("livecodebench"):
        pytest.skip("no solutions are published")
    for task in all_tasks(env):
        spans = env.critical(task)
        assert spans
        turns = env.oracle(task)
        assert all(any(span in turn for turn in turns) for span in spans)


@every_benchmark
@pytest.mark.parametrize(
    "turn",
    [
        "",
        "0",
        "echo",
        "```python\n```",
        "```python\nprint(0)\n```",
        '{"name": "done"}',
        "inventory",
    ],
)
def test_turns_without_sense_score_zero(name, turn, make_env):
    env = make_env(name)
    say = (lambda chat: chat[-1]["content"]) if turn == "echo" else (lambda chat: turn)
    for task in all_tasks(env):
        episode = play(env, ScriptedPolicy(say), task)
        assert episode.verified is False, (task.id, episode.error)
        assert episode.verdict.score == 0.0


@every_benchmark
def test_splits_share_nothing(name, make_env):
    assert overlaps(all_tasks(make_env(name))) == []


@every_benchmark
def test_an_episode_goes_on_from_its_snapshot(name, make_env):
    env, other = make_env(name), make_env(name)
    for task in all_tasks(env):
        *first, last = right_turns(env, task)
        env.reset(
            options={"split": task.split, "level": task.level, "task_id": task.id}
        )
        for turn in first:
            env.step(turn)
        other.set_state(env.get_state())
        assert other.state_hash() == env.state_hash()
        _, reward, terminated, _, _ = other.step(last)
        assert (reward, terminated) == (1.0, True)


@every_benchmark
def test_files_lie_in_a_folder_named_after_the_benchmark(name):
    folders = {file.name.partition("/")[0] for file in registry.benchmark_files(name)}
    assert all(name.startswith(folder) for folder in folders)
