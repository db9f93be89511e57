"""AppWorld's adapter against a server that speaks AppWorld's protocol."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from envs import registry
from envs.published.served import appworld
from envs.releases import MissingDataError
from envs.rollout import play
from envs.splits import overlaps
from scgrpo.policies.scripted import ScriptedPolicy
from tests.envs.published.served.servers import SmallAppWorld, json_server


def fenced(code):
    return f"```python\n{code}\n```"


SOLVE = fenced("answer = 7\ndone = True")


@pytest.fixture
def data(monkeypatch, tmp_path):
    """AppWorld's lists of tasks, in its folder."""
    folder = tmp_path / "data" / "datasets"
    folder.mkdir(parents=True)
    for name, ids in {
        "train": "aaa_1\naaa_2\nbbb_1\n",
        "test_normal": "ccc_1:tag\n",
        "test_challenge": "ddd_1",
    }.items():
        (folder / f"{name}.txt").write_text(ids)
    monkeypatch.setenv(appworld.ROOT, str(tmp_path))
    forget()
    yield
    forget()


def forget():
    appworld._free_servers.cache_clear()
    appworld._tasks.cache_clear()


@pytest.fixture
def servers(monkeypatch):
    """Two servers."""
    worlds = [SmallAppWorld(), SmallAppWorld()]
    with ExitStack() as stack:
        urls = [stack.enter_context(json_server(world)) for world in worlds]
        monkeypatch.setenv(appworld.SERVERS, ", ".join(urls))
        yield worlds


@pytest.fixture
def env(data, servers):
    return registry.make("appworld").unwrapped


def test_the_authors_sets_are_splits_and_scenarios_families(env):
    assert [task.id for task in env.tasks("train", 0)] == [
        "train/0/aaa_1",
        "train/0/aaa_2",
        "train/0/bbb_1",
    ]
    assert [task.id for task in env.tasks("id", 0)] == ["id/0/ccc_1"]
    assert [task.family for task in env.tasks("train", 0)] == ["aaa", "aaa", "bbb"]
    tasks = [task for split in env.splits for task in env.tasks(split, 0)]
    assert overlaps(tasks) == []


def test_a_prompt_says_who_asks_for_what(env):
    assert env.tasks("id", 0)[0].prompt == (
        "My name is Ann Lee. My email is ann@example.com and my phone number is 123. "
        "It is 2023-05-18T12:00:00.\n\nTask: What is the number of ccc_1?"
    )


def test_programs_run_until_the_task_is_said_to_be_done(env):
    task = env.tasks("train", 0)[0]
    turns = ["Hm.", fenced("x = 6\nprint(x)"), fenced("answer = x + 1\ndone = True")]
    episode = play(env, ScriptedPolicy(turns), task)
    assert episode.verified is True
    assert episode.malformed == 1
    replies = [segment.text for segment in episode.segments if segment.source == "env"]
    assert replies[1] == "6\n"


def test_what_is_done_wrongly_fails_and_shows_which_share_is_right(env):
    task = env.tasks("train", 0)[0]
    episode = play(env, ScriptedPolicy([fenced("done = True")]), task)
    assert episode.verified is False
    assert episode.verdict.score == 0.5
    assert episode.verdict.detail == "1 of 2 tests pass"


def test_an_episode_goes_on_from_its_snapshot(env):
    task = env.tasks("train", 0)[0]
    env.reset(options={"split": "train", "task_id": task.id})
    env.step(fenced("x = 6"))
    other = registry.make("appworld").unwrapped
    other.set_state(env.get_state())
    _, reward, *_ = other.step(fenced("answer = x + 1\ndone = True"))
    assert reward == 1.0
    env.close()
    other.close()


def test_episodes_that_run_at_once_have_servers_of_their_own(env, servers):
    tasks = list(env.tasks("train", 0)) * 4

    def solve(task):
        return play(registry.make("appworld").unwrapped, ScriptedPolicy([SOLVE]), task)

    with ThreadPoolExecutor(4) as threads:
        assert all(episode.verified for episode in threads.map(solve, tasks))
    assert sum(len(world.opened) for world in servers) == 12
    # Each server writes below a name of its own.
    first, second = (world.experiments for world in servers)
    assert len(first) == len(second) == 1
    assert first != second


def test_processes_of_one_run_share_the_servers_out(data, monkeypatch):
    monkeypatch.setenv(appworld.SERVERS, "http://a:1,http://b:1,http://c:1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    urls = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        appworld._free_servers.cache_clear()
        servers = appworld._free_servers()
        urls.append([servers.get().url for _ in range(servers.qsize())])
    assert urls == [["http://a:1", "http://c:1"], ["http://b:1"]]
    monkeypatch.setenv("WORLD_SIZE", "4")
    appworld._free_servers.cache_clear()
    with pytest.raises(ValueError, match="names 3 servers for 4 processes, expected"):
        appworld._free_servers()


def test_a_server_that_is_gone_is_an_error_and_no_wrong_answer(
    data, servers, monkeypatch
):
    env = registry.make("appworld").unwrapped
    task = env.tasks("id", 0)[0]
    monkeypatch.setenv(appworld.SERVERS, "http://127.0.0.1:9")
    appworld._free_servers.cache_clear()
    episode = play(env, ScriptedPolicy([SOLVE]), task)
    assert episode.verified is None
    assert "POST http://127.0.0.1:9/initialize failed: ConnectError" in episode.error


def test_without_servers_or_data_it_says_what_to_do(data, monkeypatch, tmp_path):
    env = registry.make("appworld").unwrapped
    monkeypatch.delenv(appworld.SERVERS, raising=False)
    with pytest.raises(
        MissingDataError, match="APPWORLD_SERVERS names no server: start"
    ):
        env.tasks("id", 0)[0]
    monkeypatch.setenv(appworld.SERVERS, "localhost:8000")
    with pytest.raises(
        ValueError, match="got APPWORLD_SERVERS=localhost:8000, expected"
    ):
        env.tasks("id", 0)[0]
    monkeypatch.setenv(appworld.ROOT, str(tmp_path / "nowhere"))
    appworld._tasks.cache_clear()
    with pytest.raises(MissingDataError, match="is missing: run `appworld install`"):
        env.tasks("id", 0)
