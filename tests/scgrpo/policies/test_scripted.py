"""Policies without a model."""

from __future__ import annotations

import gymnasium
import pytest

from envs.rollout import Limits, play
from envs.toy.guess import ToyGuess
from scgrpo.policies.scripted import RandomPolicy, ScriptedPolicy


def texts(episode):
    return [segment.text for segment in episode.turns]


def test_a_function_sees_the_chat_so_far():
    seen = []

    def turn(chat):
        seen.append([(message["role"], message["content"]) for message in chat])
        return str(len(chat))

    env = ToyGuess()
    task = env.tasks("train", 0)[2]
    episode = play(env, ScriptedPolicy(turn), task)
    assert task.payload["number"] == 3
    assert texts(episode) == ["1", "3"]
    assert seen == [
        [("user", "Guess 1-3.")],
        [("user", "Guess 1-3."), ("assistant", "1"), ("tool", "higher")],
    ]
    assert episode.token_ids == []


def test_a_reply_without_tools_is_the_users():
    seen = []
    policy = ScriptedPolicy(lambda chat: seen.append(chat[-1]["role"]) or "x")
    with policy.begin([], [], limits=Limits(), seed=0) as conversation:
        conversation.append("hello")
        conversation.generate()
    assert seen == ["user"]


def test_a_script_of_one_string_is_refused():
    with pytest.raises(ValueError, match="got one string: '123'"):
        ScriptedPolicy("123")


def test_one_script_serves_many_conversations():
    policy = ScriptedPolicy(["a", "b"])
    first, second = (policy.begin([], [], limits=Limits(), seed=0) for _ in range(2))
    spoken = [c.generate().text for c in (first, second, first, second)]
    assert spoken == ["a", "a", "b", "b"]
    assert first.generate() is None


def test_random_turns_depend_on_the_seed_alone():
    env = ToyGuess()
    task = env.tasks("train", 4)[62]
    played = [
        texts(play(env, RandomPolicy(env), task, seed=seed)) for seed in (1, 1, 2)
    ]
    assert played[0] == played[1] != played[2]
    assert texts(play(ToyGuess(), RandomPolicy(env), task, seed=1)) == played[0]


def test_random_turns_do_not_follow_the_environments_own_randomness():
    env = ToyGuess()
    task = env.tasks("train", 4)[0]
    env.reset(seed=5, options={"level": 4, "task_id": task.id})
    low, high = task.payload["low"], task.payload["high"]
    own = [str(env.np_random.integers(low, high + 1)) for _ in range(6)]
    policy = RandomPolicy(env).begin([], [], limits=Limits(), seed=5)
    assert [policy.generate().text for _ in range(6)] != own


def test_random_turns_need_an_environment_that_makes_them():
    with pytest.raises(
        ValueError, match="RandomPolicy needs a TextEnv, got CartPoleEnv"
    ):
        RandomPolicy(gymnasium.make("CartPole-v1"))
