"""Requests of OpenAI's chat completions: what they ask for, and what no policy here can do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scgrpo.agents.errors import RequestError
from scgrpo.agents.messages import ChatMessage, read_message

__all__ = ["ChatRequest", "read_request"]

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
    "echo": (False,),
}
"""What would change the tokens or the answer's form: the values that change nothing."""
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "seed")
"""What `own_sampling` overrides."""


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
    for anything else, unless `own_sampling`, and for what no policy here can do: several choices,
    stop sequences, pictures.
    """
    if not isinstance(body, Mapping):
        raise RequestError(f"the body must be a JSON object, got {body!r:.80}")
    _check_options(body, temperature, own_sampling)

    entries = body.get("messages")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise RequestError("messages must be a list of messages", param="messages")
    messages = tuple(read_message(entry, i) for i, entry in enumerate(entries))
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
