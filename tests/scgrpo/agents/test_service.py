"""`scgrpo agent serve` without a model: sessions by HTTP, their verdicts, their limits."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from envs.interop.sessions import TaskCatalogue
from envs.rollout import Limits
from envs.store import read_episodes
from sandboxes import SandboxConfig, open_pool
from scgrpo.agents import serve
from scgrpo.agents.config import AgentConfig
from scgrpo.agents.endpoint import Endpoint
from scgrpo.agents.service import AgentService
from scgrpo.models.tiny import make_tokenizer
from tests.scgrpo.agents.number_env import ENV, register
from tests.scgrpo.agents.scripted_tokens import ScriptedTokens

register()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "episodes.jsonl"


@pytest.fixture
def url(out: Path) -> Iterator[str]:
    config = AgentConfig("external", parallel=2)
    sandbox = SandboxConfig(backend="unsafe", allow_unsafe=True, size=2)
    policy = ScriptedTokens(make_tokenizer(), lambda _, n: f"turn {n}")
    with open_pool(sandbox) as pool:
        service = AgentService(
            TaskCatalogue(ENV),
            policy,
            pool,
            pool,
            config,
            limits=Limits(turn_tokens=40, episode_tokens=600),
            out=out,
        )
        with Endpoint(routes=service.routes()) as endpoint:
            service.endpoint = endpoint
            yield endpoint.url
            service.close()


def post(url: str, body: object) -> httpx.Response:
    return httpx.post(url, json=body, timeout=20.0)


def test_a_session_from_its_task_to_its_verdict(url: str, out: Path):
    assert httpx.get(f"{url}/tasks").json() == {
        "env": ENV, "tasks": {"train": {"0": 3}, "id": {"0": 3}},
    }  # fmt: skip
    opened = post(f"{url}/sessions", {"split": "train", "index": 1, "seed": 4}).json()
    assert opened["task_id"] == "train/0/1"
    assert opened["prompt"] == "Copy it: 1."
    chat = {"messages": [{"role": "user", "content": opened["prompt"]}]}
    assert post(f"{opened['base_url']}/chat/completions", chat).status_code == 200
    command = {"command": "cat note.txt > answer.txt"}
    assert post(opened["sandbox_url"], command).json()["returncode"] == 0
    result = post(f"{url}/sessions/{opened['id']}/finish", {}).json()
    assert result["verdict"]["passed"] is True
    assert (result["turns"], result["error"]) == (1, "")
    (episode,) = read_episodes(out)
    assert episode.verified
    assert (episode.seed, episode.agent) == (4, "external")
    assert post(f"{url}/sessions/{opened['id']}/finish", {}).status_code == 404


def test_an_agent_that_crashed_has_no_verdict(url: str, out: Path):
    opened = post(f"{url}/sessions", {"task_id": "train/0/0"}).json()
    chat = {"messages": [{"role": "user", "content": "Go."}]}
    post(f"{opened['base_url']}/chat/completions", chat)
    body = {"error": "it fell over"}
    result = post(f"{url}/sessions/{opened['id']}/finish", body).json()
    assert result["verdict"] is None
    assert result["error"] == "it fell over"
    assert [episode.errored for episode in read_episodes(out)] == [True]


def test_more_sessions_than_places_are_refused_until_one_ends(url: str):
    keys = [post(f"{url}/sessions", {}).json()["id"] for _ in range(2)]
    refused = post(f"{url}/sessions", {})
    assert refused.status_code == 429
    assert "--sessions" in refused.json()["error"]["message"]
    assert httpx.delete(f"{url}/sessions/{keys[0]}").json()["deleted"] is True
    assert post(f"{url}/sessions", {}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{"task_id": "train/0/99"}, {"split": "test"}, {"index": 3}, {"seed": -1}, []],
)
def test_tasks_that_do_not_exist_are_refused(url: str, body):
    assert post(f"{url}/sessions", body).status_code in (400, 404)


def test_an_environment_without_files_is_refused_at_once(capsys):
    with pytest.raises(SystemExit) as stopped:
        serve.main(["toy_guess", "--model", "nowhere"])
    assert stopped.value.code == 2
    assert "tasks are files" in capsys.readouterr().err
