"""Messages of OpenAI's chats as records, and what a turn says in their form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from envs.toolspec import Call, parse_call
from envs.types import Message
from scgrpo.agents.errors import RequestError

__all__ = ["ChatMessage", "read_message", "turn_message"]

ROLES = {"developer": "system", "function": "tool"}
"""Roles of the protocol that templates know by another name."""

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


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


def read_message(entry: object, number: int) -> ChatMessage:
    """A message of a request's body, the `number`-th from 0. Raises RequestError."""
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
