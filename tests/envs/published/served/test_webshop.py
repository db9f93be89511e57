"""WebShop's adapter against a server that speaks AgentGym's protocol."""

from __future__ import annotations

import pytest

from envs import registry
from envs.published.served import webshop
from envs.releases import MissingDataError
from envs.rollout import play
from scgrpo.policies.scripted import ScriptedPolicy
from tests.envs.published.served.servers import SmallWebShop, json_server

BUY_RED = ["search[mug]", "click[red mug]", "click[buy now]"]


@pytest.fixture(params=[False, True], ids=["new", "old"])
def shop(request, monkeypatch):
    """A server, of this release and of one that closes no sessions."""
    small = SmallWebShop(old=request.param)
    with json_server(small) as url:
        monkeypatch.setenv(webshop.SERVER, url)
        forget()
        yield small
        forget()


def forget():
    webshop._server.cache_clear()
    webshop._tasks.cache_clear()


@pytest.fixture
def env(shop):
    env = registry.make("webshop").unwrapped
    yield env
    env.close()


def test_goals_are_split_as_the_authors_do(env):
    assert [len(env.tasks(split, 0)) for split in env.splits] == [10_587, 500]
    assert env.tasks("train", 0)[0].id == "train/0/1500"
    assert env.tasks("id", 0)[-1].payload == {"goal": 499}


def test_a_smaller_server_has_fewer_goals_to_train_on(env, monkeypatch):
    monkeypatch.setenv(webshop.GOALS, "6910")
    assert [len(env.tasks(split, 0)) for split in env.splits] == [5410, 500]
    for text in ("1500", "many", "-1"):
        monkeypatch.setenv(webshop.GOALS, text)
        with pytest.raises(ValueError, match=f"got WEBSHOP_GOALS='{text}', expected"):
            env.tasks("train", 0)


def test_the_servers_reward_decides(env):
    red, blue = env.tasks("id", 0)[0], env.tasks("id", 0)[1]
    assert red.prompt == "Instruction: Find me goal 0, a red mug"
    assert play(env, ScriptedPolicy(BUY_RED), red).verified is True
    episode = play(env, ScriptedPolicy(BUY_RED), blue)
    assert episode.verified is False
    assert episode.verdict.score == 0.5


def test_a_reply_shows_the_page_and_what_can_be_clicked(env):
    task = env.tasks("id", 0)[0]
    env.reset(options={"split": "id", "task_id": task.id})
    text, *_, info = env.step("I look for it.")
    assert text == (
        "no action: write search[words] or click[text]\nActions: search[words]"
    )
    assert info["malformed"] == 1
    text, *_ = env.step("Thought: mugs.\nAction: search[mug]")
    assert text == "Page: results\nActions: click[red mug], click[blue mug]"


def test_an_episode_goes_on_from_its_snapshot(env):
    task = env.tasks("id", 0)[0]
    env.reset(options={"split": "id", "task_id": task.id})
    for turn in BUY_RED[:-1]:
        env.step(turn)
    other = registry.make("webshop").unwrapped
    other.set_state(env.get_state())
    _, reward, *_ = other.step(BUY_RED[-1])
    assert reward == 1.0
    other.close()


def test_sessions_are_closed_where_the_server_can(env, shop):
    env.reset(options={"split": "id", "task_id": env.tasks("id", 0)[0].id})
    env.close()
    if not shop._old:
        assert sorted(shop.closed) == sorted(shop.goals)


def test_a_server_that_is_gone_is_an_error_and_no_wrong_answer(env, monkeypatch):
    task = env.tasks("id", 0)[0]
    monkeypatch.setenv(webshop.SERVER, "http://127.0.0.1:9")
    webshop._server.cache_clear()
    other = registry.make("webshop").unwrapped
    episode = play(other, ScriptedPolicy(BUY_RED), task)
    assert episode.verified is None
    assert "POST http://127.0.0.1:9/create failed: ConnectError" in episode.error


def test_without_a_server_it_says_what_to_do(monkeypatch):
    monkeypatch.delenv(webshop.SERVER, raising=False)
    forget()
    with pytest.raises(MissingDataError, match="WEBSHOP_SERVER names no server: start"):
        registry.make("webshop").unwrapped.tasks("id", 0)[0]
