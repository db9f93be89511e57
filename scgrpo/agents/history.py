"""The calls of one agent, joined by their prefixes: a tree whose paths are conversations.

A call repeats the chat so far. What it has in common with an earlier one keeps the ids that were
fed and sampled then; only what is new is rendered, behind them. So a fork, such as a retry or
another answer to the same turn, shares the ids of its beginning, and no text becomes ids twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envs.types import Message, Segment
from scgrpo.agents.errors import RequestError
from scgrpo.agents.messages import ChatMessage
from scgrpo.agents.requests import ChatRequest
from scgrpo.policies.chat import Chat, canonical

__all__ = ["Conversation", "History", "Node"]


@dataclass(eq=False)
class Node:
    """A stretch of a conversation with one author; children are what came next, by content.

    | field | meaning |
    |---|---|
    | segment | its text and ids |
    | messages | what it stands for in the chat |
    | sampled | the policy wrote it behind this very history |
    | ended | of a turn: it holds the token with which the template ends one |
    | calls | of a turn: the names of the tools that it called |
    | version | of a sampled turn: the policy's, when it began |
    | tools | of a beginning: those that are offered in the conversation |
    """

    parent: Node | None
    segment: Segment
    messages: tuple[ChatMessage, ...]
    sampled: bool = False
    ended: bool = False
    calls: tuple[str, ...] = ()
    version: int = 0
    tools: tuple[Mapping[str, Any], ...] = ()
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def path(self) -> list[Node]:
        """The nodes from the conversation's beginning to this one."""
        path: list[Node] = []
        node: Node | None = self
        while node is not None:
            path.append(node)
            node = node.parent
        return path[::-1]

    @property
    def token_ids(self) -> list[int]:
        """All ids from the conversation's beginning to the end of this node."""
        return [i for node in self.path for i in node.segment.token_ids]


@dataclass(frozen=True)
class Conversation:
    """A path of the tree as an episode holds it.

    | field | meaning |
    |---|---|
    | messages | the chat before its first turn |
    | tools | that were offered |
    | segments | prompt, policy, env, policy, ...; ends with a turn |
    | versions | of the policy, for each turn |
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    segments: tuple[Segment, ...]
    versions: tuple[int, ...]


class History:
    """The conversations of one agent with one policy. Not thread-safe."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._roots: dict[str, Node] = {}
        self._turns: list[Node] = []

    @property
    def turns(self) -> Sequence[Node]:
        """The sampled turns, in their order."""
        return self._turns

    def place(self, request: ChatRequest) -> Node:
        """The node behind which the next turn of a request belongs, made if it is new.

        Raises RequestError for messages that the chat template cannot render.
        """
        groups = _groups(request.messages)
        tools = json.dumps(list(request.tools), sort_keys=True)
        key = tools + _key(groups[0])
        if key not in self._roots:
            self._roots[key] = self._root(groups[0], request)
        node = self._roots[key]
        for group in groups[1:]:
            key = _key(group)
            if key not in node.children:
                node.children[key] = self._new(node, group, request)
            node = node.children[key]
        return node

    def add_turn(
        self, node: Node, segment: Segment, answer: ChatMessage, version: int
    ) -> Node:
        """The node of a turn that was sampled behind `node` and given out as `answer`.

        If the same was sampled there before, the chat goes on from this one.
        """
        turn = Node(
            parent=node,
            segment=segment,
            messages=(answer,),
            sampled=True,
            ended=self._chat.read(segment.token_ids).ended,
            calls=tuple(call.name for call in answer.calls),
            version=version,
        )
        node.children[_key((answer,))] = turn
        self._turns.append(turn)
        return turn

    def conversations(self) -> list[Conversation]:
        """Every conversation that has a turn of its own, that of the last turn first.

        Each sampled turn is a `policy` segment of exactly one: in a later conversation, what an
        earlier one has of it belongs to the prompt.
        """
        parents = {id(node) for turn in self._turns for node in turn.path[:-1]}
        ends = [turn for turn in self._turns if id(turn) not in parents]
        if not ends:
            return []
        last = ends.index(self._turns[-1])
        used: set[int] = set()
        result: list[Conversation] = []
        for end in [ends[last], *ends[:last], *ends[last + 1 :]]:
            result.append(_conversation(end.path, used))
            used.update(id(node) for node in end.path if node.sampled)
        return result

    def _root(self, group: Sequence[ChatMessage], request: ChatRequest) -> Node:
        try:
            text, ids = self._chat.prompt([m.plain for m in group], request.tools)
        except ValueError as error:
            raise RequestError(
                f"the model's chat template refuses the messages: {error}",
                param="messages",
            ) from error
        segment = Segment("prompt", text, tuple(ids))
        return Node(None, segment, tuple(group), tools=request.tools)

    def _new(
        self, parent: Node, group: Sequence[ChatMessage], request: ChatRequest
    ) -> Node:
        """What the policy did not sample behind `parent`: replies, or a turn of another's."""
        text = "\n\n".join(message.content for message in group)
        if group[0].role != "assistant":
            ids = self._chat.replies(
                [message.plain for message in group],
                ended=parent.ended,
                calls=parent.calls,
            )
            return Node(parent, Segment("env", text, tuple(ids)), tuple(group))
        (message,) = group
        text = canonical(message.content, message.calls)
        ids = self._chat.turn_ids(text)
        return Node(
            parent,
            Segment("env", text, tuple(ids)),
            (message,),
            ended=self._chat.read(ids, request.tools).ended,
            calls=tuple(call.name for call in message.calls),
        )


def _groups(messages: Sequence[ChatMessage]) -> list[list[ChatMessage]]:
    """The messages by author: an assistant's one by one, all others between them together.

    Raises RequestError if two of an assistant's follow each other.
    """
    groups: list[list[ChatMessage]] = []
    for message in messages:
        is_turn = message.role == "assistant"
        after_turn = bool(groups) and groups[-1][0].role == "assistant"
        if is_turn and after_turn:
            raise RequestError(
                "two messages of the assistant follow each other, expected a reply in between",
                param="messages",
            )
        if groups and not is_turn and not after_turn:
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def _key(group: Sequence[ChatMessage]) -> str:
    return json.dumps([message.key for message in group])


def _conversation(path: Sequence[Node], used: set[int]) -> Conversation:
    """A path as a conversation; turns whose ids are `used` belong to its prompt."""
    first = next(
        place
        for place, node in enumerate(path)
        if node.sampled and id(node) not in used
    )
    opening = path[:first]
    segments = [_concatenation("prompt", [node.segment for node in opening])]
    replies: list[Segment] = []
    for node in path[first:]:
        if not node.sampled:
            replies.append(node.segment)
            continue
        if replies:
            segments.append(_concatenation("env", replies))
            replies = []
        segments.append(node.segment)
    return Conversation(
        messages=tuple(m.plain for node in opening for m in node.messages),
        tools=path[0].tools,
        segments=tuple(segments),
        versions=tuple(node.version for node in path[first:] if node.sampled),
    )


def _concatenation(source: str, segments: Sequence[Segment]) -> Segment:
    """Segments as one of the source `prompt` or `env`, without log-probabilities."""
    text = "\n\n".join(segment.text for segment in segments)
    ids = [i for segment in segments for i in segment.token_ids]
    return Segment("env" if source == "env" else "prompt", text, tuple(ids))
