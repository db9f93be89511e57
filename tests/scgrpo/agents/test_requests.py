"""Requests in OpenAI's form: what they ask is read, and what no policy can do is refused."""

import json
from typing import Any

import pytest

from envs.toolspec import Call
from scgrpo.agents.errors import RequestError
from scgrpo.agents.messages import ChatMessage, turn_message
from scgrpo.agents.requests import read_request
from scgrpo.agents.responses import completion

HELLO = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "bash", "parameters": {}}}


def request(**options: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [HELLO], **options}


def test_messages_are_read_in_one_form():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    call = {
        "id": "x",
        "type": "function",
        "function": {"name": "bash", "arguments": '{"command": "ls"}'},
    }
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": parts, "name": "me"},
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "tool", "tool_call_id": "x", "content": "a.py"},
    ]
    read = read_request(request(messages=messages, tools=[TOOL], max_tokens=5))
    assert read.messages == (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "ab"),
        ChatMessage("assistant", "", (Call("bash", {"command": "ls"}),)),
        ChatMessage("tool", "a.py"),
    )
    assert read.tools == (TOOL,)
    assert read.max_tokens == 5


def test_white_space_around_a_turn_makes_no_other_turn():
    one, two = ChatMessage("assistant", "ls\n"), ChatMessage("assistant", "ls")
    assert one.key == two.key != ChatMessage("user", "ls").key


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": ["END"]}, "stop"),
        ({"temperature": 0.2}, "temperature"),
        ({"top_p": 0.9}, "top_p"),
        ({"seed": 3}, "seed"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [HELLO, {"role": "assistant", "content": "a"}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0]",
        ),
        ({"tools": ["bash"]}, "tools"),
    ],
)
def test_what_would_change_the_tokens_is_refused_by_name(options, param):
    with pytest.raises(RequestError) as refused:
        read_request(request(**options))
    assert refused.value.param == param
    assert refused.value.body["error"]["type"] == "invalid_request_error"


def test_values_that_change_nothing_are_accepted():
    read_request(
        request(
            temperature=1.0, top_p=1, n=1, stop=None, stream=True, user="me", metadata={},
            tool_choice="auto", parallel_tool_calls=True, presence_penalty=0,
        )
    )  # fmt: skip
    read_request(request(temperature=0), temperature=0.0)


def test_own_sampling_overrides_sampling_alone():
    read_request(request(temperature=0.2, top_p=0.5, seed=1), own_sampling=True)
    with pytest.raises(RequestError, match="stop"):
        read_request(request(stop="x"), own_sampling=True)


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("plain", "plain", ()),
        ('{"name": "bash", "arguments": {"c": 1}}', "", (Call("bash", {"c": 1}),)),
        (
            'Look.\n<tool_call>{"name": "bash", "arguments": {"c": "}"}}</tool_call>',
            "Look.",
            (Call("bash", {"c": "}"}),),
        ),
        (
            '<tool_call>{"name": "a"}</tool_call>\n<tool_call>{"name": "b"}</tool_call>',
            "",
            (Call("a", {}), Call("b", {})),
        ),
        ("<tool_call>{bad}</tool_call>", "<tool_call>{bad}</tool_call>", ()),
    ],
)
def test_calls_are_told_from_what_a_turn_says(text, content, calls):
    assert turn_message(text, has_tools=True) == (content, calls)
    assert turn_message(text, has_tools=False) == (text, ())


def test_a_completion_says_what_was_sampled():
    body = completion(
        number=3,
        created=7,
        model="policy",
        content="",
        calls=(Call("bash", {"command": "ls"}),),
        thought="<think>x</think>",
        cut=False,
        usage=(10, 4),
    )
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["reasoning_content"] == "<think>x</think>"
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"command": "ls"}
    assert body["usage"]["total_tokens"] == 14
