"""OpenAI's chat completions as records: what a request asks, what a response and an error say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from envs.toolspec import Call, parse_call
from envs.types import Message

__all__ = [
    "ChatMessage",
    "ChatRequest",
    "RequestError",
    "completion",
    "error_body",
    "read_request",
    "turn_message",
]

ROLES = {"developer": "system", "function": "tool"}
"""Roles of the protocol that templates know by another name."""
NEUTRAL: Mapping[str, Sequence[Any]] = {
    "n": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "stop": ([], ""),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto",),
    "functions": ([],),
    "stream": (False,),
    "echo": (False,),
}
"""What would change the tokens or the answer's form: the values that change nothing."""
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "seed")
"""What `own_sampling` overrides."""

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


class RequestError(ValueError):
    """A request that is refused, in OpenAI's terms.

    | attribute | meaning |
    |---|---|
    | status | of HTTP |
    | kind, code, param | `type`, `code` and `param` of OpenAI's error |
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.param = status, kind, code, param


@dataclass(frozen=True)
class ChatMessage:
    """A message of a request, in the one form that two equal ones share.

    | field | meaning |
    |---|---|
    | role | `system`, `user`, `assistant` or `tool` |
    | content | its text; parts of text are joined |
    | calls | of an assistant's: name and arguments of each call |
    """

    role: str
    content: str
    calls: tuple[Call, ...] = ()

    @property
    def key(self) -> str:
        """Equal for messages that say the same, white space around the text aside."""
        calls = [[call.name, call.arguments] for call in self.calls]
        return json.dumps([self.role, self.content.strip(), calls], sort_keys=True)

    @property
    def plain(self) -> Message:
        """Role and text, as chat templates take them."""
        return cast(Message, {"role": self.role, "content": self.content})


@dataclass(frozen=True)
class ChatRequest:
    """What a request asks for.

    | field | meaning |
    |---|---|
    | messages | the chat; the last one is no assistant's |
    | tools | OpenAI function schemas |
    | max_tokens | most new tokens; None: as many as the policy's own limits allow |
    """

    messages: tuple[ChatMessage, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    max_tokens: int | None = None


def read_request(
    body: object, *, temperature: float = 1.0, own_sampling: bool = False
) -> ChatRequest:
    """The request in a JSON body.

    The policy samples at `temperature` and top_p 1. Raises RequestError for a request that asks
    for anything else, unless `own_sampling`, and for what no policy here can do: a stream, several
    choices, stop sequences, pictures.
    """
    if not isinstance(body, Mapping):
        raise RequestError(f"the body must be a JSON object, got {body!r:.80}")
    _check_options(body, temperature, own_sampling)

    entries = body.get("messages")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise RequestError("messages must be a list of messages", param="messages")
    messages = tuple(_message(entry, i) for i, entry in enumerate(entries))
    if messages[0].role == "assistant" or messages[-1].role == "assistant":
        raise RequestError(
            "the first and the last message must not be the assistant's: turns are begun anew, "
            "not continued",
            param="messages",
        )
    tools = body.get("tools") or ()
    if not isinstance(tools, Sequence) or not all(map(_is_function, tools)):
        raise RequestError("tools must be a list of functions", param="tools")
    return ChatRequest(messages, tuple(tools), _max_tokens(body))


def turn_message(text: str, *, has_tools: bool) -> tuple[str, tuple[Call, ...]]:
    """What a turn says and the calls in it, as a policy's `Segment.text` holds them.

    Without tools the text says it all, and so it does if a call in it cannot be read.
    """
    if not has_tools:
        return text, ()
    pieces = _CALL.split(text)
    bodies = pieces[1::2]
    calls = [parse_call(piece) for piece in bodies or [text]]
    read = tuple(call for call in calls if isinstance(call, Call))
    if len(read) < len(calls):
        return text, ()
    if bodies:
        return "".join(pieces[::2]).strip(), read
    # A bare object, in a fence or behind prose.
    prose = text.partition("{")[0].rstrip()
    for mark in ("```json", "```", "<tool_call>"):
        prose = prose.removesuffix(mark)
    return prose.strip(), read


def completion(
    *,
    number: int,
    created: int,
    model: str,
    content: str,
    calls: Sequence[Call],
    thought: str,
    cut: bool,
    usage: tuple[int, int],
) -> dict[str, Any]:
    """The body of a response with one choice.

    `number` counts the calls of a run; `usage` is tokens of the prompt and of the turn.
    """
    message: dict[str, Any] = {"role": "assistant", "content": content or None}
    if not calls:
        message["content"] = content
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}_{i}",
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.arguments, ensure_ascii=False),
                },
            }
            for i, call in enumerate(calls)
        ]
    reason = "length" if cut else "tool_calls" if calls else "stop"
    prompt_tokens, turn_tokens = usage
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": turn_tokens,
            "total_tokens": prompt_tokens + turn_tokens,
        },
    }


def error_body(error: RequestError) -> dict[str, Any]:
    """OpenAI's form of an error."""
    details = {"type": error.kind, "param": error.param, "code": error.code}
    return {"error": {"message": str(error), **details}}


def _check_options(
    body: Mapping[str, Any], temperature: float, own_sampling: bool
) -> None:
    """Raises RequestError for an option that would change what is sampled or returned."""
    neutral = {**NEUTRAL, "temperature": (temperature,), "top_p": (1,)}
    for name, value in body.items():
        if name in SAMPLING and own_sampling:
            continue
        if name == "seed" and value is not None:
            raise RequestError(
                "seed is the run's, one for each episode; leave it out, or set "
                "agent.own_sampling=true to have it ignored",
                param=name,
            )
        allowed = neutral.get(name)
        if allowed is None or value is None or value in allowed:
            continue
        advice = "leave it out"
        if name in SAMPLING:
            advice += (
                ", or set agent.own_sampling=true to sample at the policy's own settings "
                "whatever the agent asks for"
            )
        shown = " or ".join(json.dumps(choice) for choice in allowed)
        raise RequestError(
            f"{name}={json.dumps(value):.80} is not supported, expected {shown}: {advice}",
            code="unsupported_parameter",
            param=name,
        )


def _message(entry: object, number: int) -> ChatMessage:
    where = f"messages[{number}]"
    if not isinstance(entry, Mapping):
        raise RequestError(f"{where} must be an object, got {entry!r:.80}", param=where)
    role = str(entry.get("role"))
    role = ROLES.get(role, role)
    if role not in ("system", "user", "assistant", "tool"):
        raise RequestError(f"{where}: unknown role {role!r:.40}", param=where)
    content = _text(entry.get("content"), where)
    calls: tuple[Call, ...] = ()
    if role == "assistant":
        entries = entry.get("tool_calls") or ()
        calls = tuple(_call(call, where) for call in entries)
    return ChatMessage(role, content, calls)


def _text(content: object, where: str) -> str:
    """The text of a message: a string, or parts of text. Raises RequestError."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in content if isinstance(content, Sequence) else (content,):
        text = part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str):
            raise RequestError(
                f"{where}: content must be text, or parts of the type text, got {part!r:.80}",
                param=where,
            )
        texts.append(text)
    return "".join(texts)


def _call(entry: Any, where: str) -> Call:
    try:
        function = entry["function"]
        arguments = function["arguments"] or "{}"
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        return Call(str(function["name"]), dict(arguments))
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            f"{where}: tool_calls must hold functions with a name and JSON arguments, "
            f"got {entry!r:.80}",
            param=where,
        ) from error


def _is_function(tool: object) -> bool:
    if not isinstance(tool, Mapping):
        return False
    function = tool.get("function")
    return isinstance(function, Mapping) and isinstance(function.get("name"), str)


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise RequestError(
                f"{name} must be a whole number from 1, got {value!r:.40}", param=name
            )
        return value
    return None
