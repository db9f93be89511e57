"""TextEnv: Gymnasium's contract around `tasks` and `reply`."""

from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from envs import registry
from envs.base import MAX_CHARS, AnyText, TextEnv
from envs.types import Task, Verdict
from sandboxes.base import SandboxError


class Echo(TextEnv):
    """Says `say: <turn>` until the turn is `stop`; answers to a few other words."""

    name = "echo"
    splits = ("train", "id")
    levels = (0, 2)
    max_turns = 3
    instructions = "Be brief."

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    def tasks(self, split, level):
        return [
            Task(f"{split}/{level}/{i}", split, level, f"{split}{i}", f"é {i}")
            for i in "abc"
        ]

    def begin(self, task):
        self.log.append("begin")
        if task.family == "idc":
            raise SandboxError("no box")

    def end(self):
        self.log.append("end")

    def reply(self, text):
        if text == "stop":
            return Verdict(True, 0.7, "stopped", {"share": 0.5})
        if text == "lose":
            return Verdict(False, 0.2)
        if text == "break":
            raise SandboxError("the box is gone")
        return (
            3
            if text == "three"
            else "x" * 2_000_000
            if text == "long"
            else f"say: {text}"
        )


@pytest.fixture
def env():
    return Echo()


def at(split="train", level=0, key="a"):
    return {"split": split, "level": level, "task_id": f"{split}/{level}/{key}"}


def test_any_text_holds_every_string_up_to_its_length():
    space = AnyText(4)
    assert all(text in space for text in ("", "a b\n", "漢字🙂é", "\ud800", "\x00"))
    assert "abcde" not in space
    assert 3 not in space
    assert None not in space


def test_any_text_samples_itself_and_again_after_the_same_seed():
    space = AnyText(30)
    space.seed(5)
    first = [space.sample() for _ in range(200)]
    space.seed(5)
    assert [space.sample() for _ in range(200)] == first
    assert all(text in space for text in first)
    assert "" in first
    assert any(ord(c) > 0xFFFF for text in first for c in text)


def test_any_text_takes_no_mask():
    with pytest.raises(ValueError, match="no closed alphabet"):
        AnyText().sample(mask=(3, None))


def test_any_text_is_equal_by_length_and_survives_pickle_and_copy():
    space = AnyText(7, seed=1)
    assert space == AnyText(7) != AnyText(8)
    for again in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space)):
        assert again == space
        assert again.sample() == copy.deepcopy(space).sample()


def test_a_reset_names_its_task_and_gives_the_chat(env):
    text, info = env.reset(options=at("id", 2, "b"))
    assert text == "é b"
    assert info == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "é b"},
        ],
        "tools": [],
        "verified": None,
        "score": None,
        "parts": {},
        "detail": "",
        "malformed": 0,
    }


def test_a_seed_picks_the_task_and_later_resets_go_on_from_it(env):
    def drawn(seed):
        first = env.reset(seed=seed)[0]
        return [first, *(env.reset()[0] for _ in range(20))]

    assert drawn(4) == drawn(4)
    assert set(drawn(4)) == {"é a", "é b", "é c"}
    assert drawn(4) != drawn(5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "test"}, "unknown split 'test'; expected one of train, id"),
        ({"level": 1}, "level 1 is out of range; expected one of 0, 2"),
        ({"level": False}, "level False is out of range"),
        ({"level": "0"}, "level '0' is out of range"),
        ({"task_id": "id/0/a"}, "task 'id/0/a' is not in split 'train' at level 0"),
        (
            {"task_id": "train/2/a"},
            "task 'train/2/a' is not in split 'train' at level 0",
        ),
        (
            {"task": "train/0/a"},
            "unknown reset option 'task'; expected split, level or task_id",
        ),
    ],
)
def test_options_that_name_no_task_are_refused(env, options, message):
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)


def test_a_split_without_tasks_is_refused():
    class Empty(Echo):
        def tasks(self, split, level):
            return []

    with pytest.raises(ValueError, match="split 'train' has no tasks at level 0"):
        Empty().reset()


def test_a_verdict_ends_the_episode_and_the_reward_is_zero_or_one(env):
    env.reset()
    assert env.step("stop") == (
        "stopped",
        1.0,
        True,
        False,
        {
            "verified": True,
            "score": 0.7,
            "parts": {"share": 0.5},
            "detail": "stopped",
            "malformed": 0,
        },
    )
    env.reset()
    _, reward, terminated, _, info = env.step("lose")
    assert (reward, terminated, info["score"]) == (0.0, True, 0.2)


def test_the_turn_budget_truncates_as_not_verified(env):
    env.reset()
    assert env.step("1")[1:4] == env.step("2")[1:4] == (0.0, False, False)
    text, reward, terminated, truncated, info = env.step("3")
    assert (text, reward, terminated, truncated) == ("say: 3", 0.0, False, True)
    assert info["verified"] is False


def test_a_verdict_in_the_last_turn_counts(env):
    env.reset()
    env.step("1")
    env.step("2")
    assert env.step("stop")[1:4] == (1.0, True, False)


def test_turns_outside_an_episode_are_refused(env):
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step("1")
    with pytest.raises(ResetNeeded, match="call reset"):
        _ = env.task
    env.reset()
    env.step("stop")
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step("1")
    env.reset()
    env.close()
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step("1")


@pytest.mark.parametrize("action", [3, None, b"stop", ["stop"], np.str_])
def test_an_action_that_is_no_string_is_refused_and_costs_nothing(env, action):
    env.reset()
    with pytest.raises(TypeError, match="an action must be a str, got "):
        env.step(action)
    assert env.step("stop")[1] == 1.0


def test_a_reply_of_another_type_is_the_authors_error(env):
    env.reset()
    with pytest.raises(
        TypeError, match="Echo.reply must return str or Verdict, got int"
    ):
        env.step("three")


def test_a_broken_sandbox_passes_through_and_ends_the_episode(env):
    env.reset()
    with pytest.raises(SandboxError, match="the box is gone"):
        env.step("break")
    with pytest.raises(ResetNeeded):
        env.step("1")


def test_every_begin_has_one_end(env):
    env.reset()
    env.step("stop")
    assert env.log == ["begin", "end"]
    env.reset()
    env.reset()
    env.close()
    env.close()
    assert env.log == ["begin", "end"] * 3
    with pytest.raises(SandboxError):
        env.reset(options=at("id", 0, "c"))
    env.close()
    assert env.log == ["begin", "end"] * 4


def test_an_endless_reply_is_cut_to_the_observation_space(env):
    env.reset()
    text = env.step("long")[0]
    assert len(text) == MAX_CHARS
    assert text in env.observation_space


def test_a_split_that_does_not_exist_is_refused_at_construction():
    class Wrong(Echo):
        splits = ("train", "test")

    with pytest.raises(ValueError, match="unknown split 'test'"):
        Wrong()


def test_changing_an_info_changes_no_later_one(env):
    info = env.reset(options=at())[1]
    info["messages"][0]["content"] = "changed"
    assert env.reset(options=at())[1]["messages"][0]["content"] == "Be brief."


def test_a_snapshot_restores_turn_count_and_randomness(env):
    env.reset(seed=3, options=at(key="b"))
    env.step("1")
    state = pickle.loads(pickle.dumps(env.get_state()))
    after = [
        env.step("2"),
        env.step("3"),
        env.np_random.integers(1000, size=5).tolist(),
    ]
    other = Echo()
    other.set_state(state)
    again = [
        other.step("2"),
        other.step("3"),
        other.np_random.integers(1000, size=5).tolist(),
    ]
    assert data_equivalence(again, after)
    assert after[1][3] is True


def test_a_snapshot_of_an_ended_episode_is_ended(env):
    env.reset()
    env.step("stop")
    other = Echo()
    other.set_state(env.get_state())
    with pytest.raises(ResetNeeded):
        other.step("1")
    other.close()
    assert other.log == ["begin", "end"]


makers = [Echo, functools.partial(registry.make, "toy_guess")]


@pytest.mark.parametrize("maker", makers, ids=["echo", "toy_guess"])
@pytest.mark.parametrize(
    "vectorized",
    [SyncVectorEnv, functools.partial(AsyncVectorEnv, shared_memory=False)],
)
def test_vector_environments_return_the_same_text(maker, vectorized):
    alone = maker()
    wanted = [alone.reset(seed=seed)[0] for seed in (10, 11, 12)]
    many = vectorized([maker] * 3)
    try:
        texts, _ = many.reset(seed=10)
        assert list(texts) == wanted
        replies, rewards, terminated, truncated, _ = many.step(("é\n", "", "x"))
        alone.reset(seed=10)
        assert replies[0] == alone.step("é\n")[0]
        assert not rewards.any()
        assert not terminated.any()
        assert not truncated.any()
    finally:
        many.close()


def test_shared_memory_which_garbles_text_is_refused():
    with pytest.raises(ValueError, match="shared_memory=False"):
        AsyncVectorEnv([Echo, Echo])


def test_the_state_of_a_situation_that_comes_again_is_the_same(env):
    hashes = []
    for seed, name in ((1, "b"), (2, "b"), (1, "a")):
        env.reset(seed=seed, options=at("id", 2, name))
        hashes.append(env.state_hash())
    assert hashes[0] == hashes[1] != hashes[2]
