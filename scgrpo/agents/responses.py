"""Responses of OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from envs.toolspec import Call

__all__ = ["completion", "event_stream"]


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


def event_stream(completion: Mapping[str, Any], *, with_usage: bool) -> str:
    """A completion as the server-sent events of a stream, which has all of the turn in one chunk.

    A turn is known as a whole alone: where a call ends decides what it says. `with_usage` is the
    request's `stream_options.include_usage`.
    """
    (choice,) = completion["choices"]
    delta = dict(choice["message"])
    if "tool_calls" in delta:
        calls = enumerate(delta["tool_calls"])
        delta["tool_calls"] = [{"index": i, **call} for i, call in calls]
    ends = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {"choices": [ends]},
    ]
    if with_usage:
        chunks.append({"choices": [], "usage": completion["usage"]})
    common = {name: completion[name] for name in ("id", "created", "model")}
    lines = [
        json.dumps({**common, "object": "chat.completion.chunk", **chunk})
        for chunk in chunks
    ]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
