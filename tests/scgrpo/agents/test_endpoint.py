"""The endpoint over HTTP: answers, errors in OpenAI's form, sessions that do not see each other."""

import json
import threading
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from envs import registry
from envs.rollout import Limits
from sandboxes.backends.fake import FakePool
from sandboxes.base import ExecResult
from scgrpo.agents.config import AgentConfig
from scgrpo.agents.endpoint import Endpoint, EndpointError
from scgrpo.agents.session import Session
from scgrpo.models.tiny import make_tokenizer
from tests.scgrpo.agents.number_env import ENV, register
from tests.scgrpo.agents.scripted_tokens import ScriptedTokens

LIMITS = Limits(turn_tokens=40, episode_tokens=600)
HELLO = {"role": "user", "content": "Hi"}

register()


def answer(argv, files, stdin) -> ExecResult:
    """A shell that repeats its command."""
    return ExecResult(3, argv[-1].encode(), b"")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as opened:
        yield opened


def session(script=lambda _, n: f"turn {n}") -> Session:
    env = registry.make(ENV)
    task = env.unwrapped.tasks("train", 0)[0]  # pyright: ignore[reportAttributeAccessIssue]
    policy = ScriptedTokens(make_tokenizer(), script)
    return Session(env, policy, task, FakePool(answer), AgentConfig(), limits=LIMITS)


def post(url: str, body: object) -> httpx.Response:
    return httpx.post(url, json=body, timeout=20.0)


def test_a_chat_completion_is_answered_and_kept(endpoint):
    one = session()
    with endpoint.serve(one) as key:
        url = f"{endpoint.base_url(key)}/chat/completions"
        response = post(url, {"model": "m", "messages": [HELLO]})
    assert response.status_code == 200
    body = response.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "turn 0"}
    (conversation,) = one.recorder.history.conversations()
    assert body["usage"]["prompt_tokens"] == len(conversation.segments[0].token_ids)
    assert body["usage"]["completion_tokens"] == len(conversation.segments[1].token_ids)


def test_a_stream_has_the_turn_in_one_chunk(endpoint):
    body = {
        "messages": [HELLO],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with endpoint.serve(session()) as key:
        response = post(f"{endpoint.base_url(key)}/chat/completions", body)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [
        line.removeprefix("data: ") for line in response.text.split("\n\n") if line
    ]
    assert lines[-1] == "[DONE]"
    said, end, usage = map(json.loads, lines[:-1])
    assert said["choices"][0]["delta"] == {"role": "assistant", "content": "turn 0"}
    assert end["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["completion_tokens"] == len("turn 0") + 1


def test_the_model_is_listed(endpoint):
    with endpoint.serve(session()) as key:
        models = httpx.get(f"{endpoint.base_url(key)}/models").json()
    assert [model["id"] for model in models["data"]] == ["policy"]


def test_a_command_is_run_in_the_sandbox_of_the_session(endpoint):
    with endpoint.serve(session()) as key:
        response = post(endpoint.sandbox_url(key), {"command": "ls"})
        refused = post(endpoint.sandbox_url(key), {"command": ["ls"]})
    assert response.json() == {
        "output": "exec 2>&1\nls", "returncode": 3, "timed_out": False,
    }  # fmt: skip
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"messages": [HELLO], "n": 2}, "unsupported_parameter", "n"),
        ({"messages": []}, None, "messages"),
    ],
)
def test_errors_have_the_form_of_openai(endpoint, body, code, param):
    with endpoint.serve(session()) as key:
        response = post(f"{endpoint.base_url(key)}/chat/completions", body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)


def test_no_json_is_refused(endpoint):
    with endpoint.serve(session()) as key:
        url = f"{endpoint.base_url(key)}/chat/completions"
        assert httpx.post(url, content=b"{").status_code == 400


def test_a_session_that_is_over_is_not_served(endpoint):
    with endpoint.serve(session()) as key:
        url = f"{endpoint.base_url(key)}/chat/completions"
    assert post(url, {"messages": [HELLO]}).status_code == 404


def test_what_breaks_the_policy_is_a_server_error_and_no_verdict(endpoint):
    one = session(lambda *_: 1 / 0)
    with endpoint.serve(one) as key:
        url = f"{endpoint.base_url(key)}/chat/completions"
        response = post(url, {"messages": [HELLO]})
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert one.over
    assert one.finish().error == "ZeroDivisionError: division by zero"


def test_two_sessions_are_answered_at_the_same_time(endpoint):
    both = threading.Barrier(2, timeout=10.0)

    def script(*_: object) -> str:
        both.wait()
        return "met"

    one, two = session(script), session(script)
    with endpoint.serve(one) as first, endpoint.serve(two) as second:
        answers: list[httpx.Response] = []

        def call(key: str) -> None:
            url = f"{endpoint.base_url(key)}/chat/completions"
            answers.append(post(url, {"messages": [HELLO]}))

        threads = [
            threading.Thread(target=call, args=(key,)) for key in (first, second)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [response.status_code for response in answers] == [200, 200]
    assert len(one.recorder.history.turns) == len(two.recorder.history.turns) == 1


def test_an_address_that_is_taken_is_said(endpoint):
    port = int(endpoint.url.rpartition(":")[2])
    with pytest.raises(EndpointError, match="choose another --port"):
        Endpoint(port=port)
