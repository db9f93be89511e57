"""Policies of token ids: how their conversations begin, and the history that one appends to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

import numpy as np

from envs.rollout import Limits
from envs.types import Message, Segment
from scgrpo.policies.chat import Chat, Turn

__all__ = ["TokenConversation", "TokenPolicy"]


class TokenConversation(ABC):
    """One episode's history of ids, append-only. A context manager.

    | attribute | meaning |
    |---|---|
    | prompt | what the history began with |
    """

    def __init__(
        self,
        chat: Chat,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> None:
        self.prompt = prompt
        self._chat, self._tools, self._limits = chat, tools, limits
        self._rng = np.random.default_rng(seed)
        self._history = list(prompt.token_ids)
        self._turn = Turn("")

    @abstractmethod
    def generate(self, max_tokens: int | None = None) -> Segment | None:
        """The next turn, of `max_tokens` at most if given.

        None when the episode's token budget is spent.
        """

    def append(self, reply: str) -> Segment:
        """Adds the environment's reply to the history."""
        turn = self._turn
        ids = self._chat.reply(reply, ended=turn.ended, call=turn.call)
        self._history += ids
        return Segment("env", reply, tuple(ids))

    def extend(self, token_ids: Sequence[int]) -> None:
        """Adds ids to the history that others have rendered."""
        self._history += token_ids

    def _room(self, max_tokens: int | None) -> int:
        """The most tokens that the next turn may have; under 1 if the budget is spent."""
        left = self._limits.episode_tokens - len(self._history)
        room = min(self._limits.turn_tokens, left)
        return room if max_tokens is None else min(room, max_tokens)

    def _add_turn(
        self, ids: Sequence[int], logprobs: Sequence[float], *, cut: bool = False
    ) -> Segment:
        """Adds a turn to the history; `logprobs` are those that its ids were sampled with."""
        self._turn = self._chat.read(ids, self._tools)
        self._history += ids
        return Segment(
            "policy",
            self._turn.text,
            tuple(ids),
            tuple(logprobs),
            cut=cut,
            thought=self._turn.thought,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


C_co = TypeVar("C_co", bound=TokenConversation, covariant=True)


class TokenPolicy(ABC, Generic[C_co]):
    """A policy that goes on from ids, so that nothing is rendered twice. A context manager.

    | attribute | meaning |
    |---|---|
    | chat | the model's chat template |
    | cache_tokens | longest episode |
    """

    chat: Chat
    cache_tokens: int

    @property
    @abstractmethod
    def version(self) -> int:
        """How many weight updates it has seen."""

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> C_co:
        """Opens a conversation. Raises ValueError if the limits go past `cache_tokens`."""
        self._check_room(limits)
        text, ids = self.chat.prompt(messages, tools)
        return self._open(Segment("prompt", text, tuple(ids)), tools, limits, seed)

    def resume(
        self,
        token_ids: Sequence[int],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> C_co:
        """Opens a conversation whose history so far is `token_ids`, rendered by others.

        Raises as `begin` does.
        """
        self._check_room(limits)
        return self._open(Segment("prompt", "", tuple(token_ids)), tools, limits, seed)

    def _check_room(self, limits: Limits) -> None:
        if limits.episode_tokens > self.cache_tokens:
            raise ValueError(
                f"an episode may take {limits.episode_tokens} tokens but the cache holds "
                f"{self.cache_tokens}; raise cache_tokens or lower limits.episode_tokens"
            )

    @abstractmethod
    def _open(
        self,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> C_co:
        """A conversation whose history is `prompt`, once there is room for it."""

    @abstractmethod
    def close(self) -> None:
        """Ends the policy: waiting turns get an error. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
