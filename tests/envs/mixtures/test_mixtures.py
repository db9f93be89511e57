"""Several environments as one: names, tasks, play, and what of it is each part's own."""

from __future__ import annotations

import pytest

from envs import registry
from envs.mixtures.env import Mixture, SandboxedMixture
from envs.mixtures.names import Part, parse_mixture, part_names
from envs.rollout import Limits, play
from scgrpo.policies.scripted import ScriptedPolicy

NAME = "toy_guess@weight=2@levels=0,1+tool_store@turn_tokens=96"


def test_a_name_says_weights_levels_and_budgets():
    assert parse_mixture(NAME) == (
        Part("toy_guess", 2.0, (0, 1)),
        Part("tool_store", turn_tokens=96),
    )
    assert part_names(NAME) == ["toy_guess", "tool_store"]
    url = "openenv:http://localhost:8000#turns=8&pass_at=0.5"
    assert part_names(url) == [url]
    assert part_names(f"toy_guess+{url}") == ["toy_guess", url]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("toy_guess+", "got the part ''"),
        ("toy_guess+toy_guess", "names toy_guess twice"),
        ("toy_guess@size=2", "unknown option 'size'; expected weight"),
        ("toy_guess@weight=x", "could not convert"),
        ("toy_guess@weight=0", "expected more than 0"),
        ("toy_guess@levels=9+tool_store", "levels \\[9\\] are not among toy_guess's"),
    ],
)
def test_a_wrong_name_says_what_was_expected(name, says):
    with pytest.raises(ValueError, match=says):
        registry.make(name)


def test_every_task_is_played_by_its_own_environment():
    env = registry.make(NAME)
    assert isinstance(env, Mixture)
    assert not isinstance(env, SandboxedMixture)
    assert env.levels == (0, 1, 2, 3, 4)
    guess, store = (
        registry.make(name).unwrapped for name in ("toy_guess", "tool_store")
    )
    mixed = env.tasks("train", 1)
    assert len(mixed) == len(guess.tasks("train", 1)) + len(store.tasks("train", 1))
    # The guessing game is not trained on level 2.
    assert len(env.tasks("train", 2)) == len(store.tasks("train", 2))
    for place, part in ((3, guess), (-1, store)):
        task = mixed[place]
        number = env.part_of(task)
        assert env.find("train", 1, task.id) == task
        own = part.tasks("train", 1)[place]
        assert task.content_hash == own.content_hash
        episode = play(env, ScriptedPolicy(env.oracle(task)), task)
        direct = play(
            registry.make(env.parts[number].name), ScriptedPolicy(part.oracle(own)), own
        )
        assert episode.verified
        back = env.own(episode)
        assert back.task == own
        assert (back.env, back.source) == (direct.env, direct.source)
        assert [s.text for s in back.segments] == [s.text for s in direct.segments]
        assert back.tools == direct.tools


def test_a_snapshot_is_re_entered():
    env = registry.make("toy_guess+tool_store")
    task = env.tasks("train", 1)[5]
    options = {"split": "train", "level": 1, "task_id": task.id}
    env.reset(options=options)
    env.step("1")
    state, again = env.get_state(), registry.make("toy_guess+tool_store")
    again.set_state(state)
    assert again.state_hash() == env.state_hash()
    assert again.step("2") == env.step("2")


def test_a_part_s_budgets_are_the_smaller_ones():
    env = registry.make(NAME)
    limits = Limits(turn_tokens=128, episode_tokens=640)
    first, last = env.tasks("train", 0)[0], env.tasks("train", 0)[-1]
    assert env.limits_of(first, limits) == limits
    assert env.limits_of(last, limits) == Limits(turn_tokens=96, episode_tokens=640)
    small = Limits(turn_tokens=32, episode_tokens=64)
    assert env.limits_of(last, small) == small


def test_a_mixture_with_code_takes_sandboxes():
    assert isinstance(registry.make("toy_guess+code_fn"), SandboxedMixture)
