"""ScienceWorld by its own package: tasks, its own solutions, and what scores nothing."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from envs import registry
from envs.published.scienceworld import simulator
from envs.published.scienceworld.variations import VARIATIONS, variations
from envs.releases import MissingDataError
from envs.rollout import play
from scgrpo.policies.scripted import ScriptedPolicy

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("scienceworld") is None or shutil.which("java") is None,
    reason="needs the extra `scienceworld` and a Java runtime",
)


@pytest.fixture(scope="module")
def env():
    env = registry.make("scienceworld").unwrapped
    yield env
    env.close()


def test_variations_are_split_as_the_authors_do():
    assert len(VARIATIONS) == 30
    assert list(variations("boil", "train")) == list(range(14))
    assert list(variations("boil", "id")) == list(range(21, 30))
    for task in VARIATIONS:
        assert not set(variations(task, "train")) & set(variations(task, "id"))


def test_tasks_are_counted_without_the_package():
    env = registry.make("scienceworld").unwrapped
    train = sum(len(variations(task, "train")) for task in VARIATIONS)
    assert len(env.tasks("train", 0)) == train
    assert env.tools() == ()


def test_without_the_package_or_java_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(simulator, "VERSION", "0.0.0")
    with pytest.raises(
        MissingDataError, match=r"the package scienceworld 0\.0\.0, got"
    ):
        simulator.check_package()


@needs_package
def test_without_java_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDataError, match="there is no `java`: install a Java"):
        simulator.check_package()


@needs_package
@pytest.mark.slow
@pytest.mark.daily(0)
def test_the_packages_variations_are_the_recorded_ones():
    opened = simulator.Simulator()
    world = opened._env
    assert sorted(world.get_task_names()) == sorted(VARIATIONS)
    for task in VARIATIONS:
        world.load(task, 0, simulator.SIMPLIFICATIONS)
        assert world.get_variations_train() == list(variations(task, "train"))
        assert world.get_variations_test() == list(variations(task, "id"))
    opened.close()


@needs_package
@pytest.mark.slow
@pytest.mark.daily(0)
@pytest.mark.parametrize("name", VARIATIONS)
def test_the_simulators_own_solution_scores_one(name, env):
    task = env.find("id", 0, f"id/0/{name}/{variations(name, 'id')[0]}")
    assert task is not None
    episode = play(env, ScriptedPolicy(env.oracle(task)), task)
    assert episode.verified is True, episode.verdict


@needs_package
@pytest.mark.slow
@pytest.mark.daily(0)
@pytest.mark.parametrize("turn", ["", "look around", "wait", "nonsense", "x" * 1000])
def test_turns_without_sense_score_zero(turn, env):
    task = env.tasks("id", 0)[0]
    episode = play(env, ScriptedPolicy(lambda chat: turn), task)
    assert episode.verified is False
    assert episode.verdict.score < 1.0


@needs_package
@pytest.mark.slow
@pytest.mark.daily(0)
def test_an_episode_goes_on_from_its_snapshot(env):
    task = env.tasks("train", 0)[0]
    turns = env.oracle(task)
    half = len(turns) // 2
    env.reset(options={"split": "train", "task_id": task.id})
    for turn in turns[:half]:
        env.step(turn)
    other = registry.make("scienceworld").unwrapped
    other.set_state(env.get_state())
    # Its solutions may go on after the end.
    ended = (other.step(f"I go on.\nAction: {turn}") for turn in turns[half:])
    assert next(reward for _, reward, over, *_ in ended if over) == 1.0
    other.close()
