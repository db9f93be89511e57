"""Policies without a model: a script, and random well-formed turns. No tokens, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import gymnasium
import numpy as np

from envs.base import TextEnv
from envs.rollout import Limits
from envs.types import Message, Segment

__all__ = ["RandomPolicy", "ScriptedPolicy"]

Script = Callable[[list[Message]], str] | Sequence[str]

# So that a policy's draws differ from an environment's, which are seeded with the same number.
_STREAM = 0x706F6C696379


class ScriptedPolicy:
    """Plays given turns in order, or what a function of the chat so far returns.

    A script with no turns left ends the episode as a spent token budget does. Thread-safe if the
    function is.
    """

    version = 0

    def __init__(self, turns: Script) -> None:
        if isinstance(turns, str):
            raise ValueError(
                f"turns must be a sequence of turns, got one string: {turns!r:.80}"
            )
        self._turns = turns

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        """Opens a conversation; limits and seed do not bind a script."""
        return _Conversation(messages, bool(tools), self._next)

    def close(self) -> None:
        """Nothing to end."""

    def _next(self, chat: list[Message]) -> str | None:
        if callable(self._turns):
            return self._turns(chat)
        played = sum(message["role"] == "assistant" for message in chat)
        return self._turns[played] if played < len(self._turns) else None


class RandomPolicy:
    """Plays an environment's own `random_turn`: the policy behind chance rates and warm starts.

    Bound to one environment, whose state decides what is well-formed; an environment per thread
    needs a policy per thread. The same seed gives the same turns.
    """

    version = 0

    def __init__(self, env: gymnasium.Env[str, str]) -> None:
        inner = env.unwrapped
        if not isinstance(inner, TextEnv):
            raise ValueError(
                f"RandomPolicy needs a TextEnv, got {type(inner).__name__}"
            )
        self._env = inner

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        """Opens a conversation; the environment's turn budget is its only limit."""
        rng = np.random.default_rng([_STREAM, seed])
        return _Conversation(
            messages, bool(tools), lambda _: self._env.random_turn(rng)
        )

    def close(self) -> None:
        """Nothing to end; whoever made the environment closes it."""


class _Conversation:
    """A chat that grows by the turns of a function and the environment's replies."""

    def __init__(
        self,
        messages: Sequence[Message],
        has_tools: bool,
        next_turn: Callable[[list[Message]], str | None],
    ) -> None:
        self._chat = list(messages)
        self._has_tools = has_tools
        self._next_turn = next_turn
        self._prompt = Segment("prompt", "\n\n".join(m["content"] for m in messages))

    @property
    def prompt(self) -> Segment:
        """The messages' text, without ids."""
        return self._prompt

    def generate(self) -> Segment | None:
        """The next turn; None when the script has none left."""
        text = self._next_turn(list(self._chat))
        if text is None:
            return None
        self._chat.append({"role": "assistant", "content": text})
        return Segment("policy", text)

    def append(self, reply: str) -> Segment:
        """Adds the environment's reply to the chat."""
        role = "tool" if self._has_tools else "user"
        self._chat.append({"role": role, "content": reply})
        return Segment("env", reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None
