"""A policy that writes given texts as token ids, as a model would have written them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from envs.rollout import Limits
from envs.types import Segment
from scgrpo.policies.chat import Chat

__all__ = ["ScriptedTokens"]

OPENING = "<|im_start|>assistant\n"


class ScriptedTokens:
    """Writes `script(history, n)` as the n-th turn of a conversation, counted from 0.

    | attribute | meaning |
    |---|---|
    | fed | for each turn, the ids before it |
    | open_count | conversations that are open |
    """

    version = 5
    temperature = 1.0

    def __init__(self, tokenizer: Any, script: Callable[[str, int], str]) -> None:
        self.chat = Chat(tokenizer)
        self.script = script
        self.fed: list[list[int]] = []
        self.open_count = 0

    def resume(
        self,
        token_ids: Sequence[int],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        self.open_count += 1
        return _Conversation(self, token_ids, tools, limits)

    def close(self) -> None:
        pass


class _Conversation:
    def __init__(
        self,
        policy: ScriptedTokens,
        ids: Sequence[int],
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
    ) -> None:
        self._policy, self._ids = policy, list(ids)
        self._tools, self._limits = tools, limits

    def generate(self, max_tokens: int | None = None) -> Segment | None:
        if len(self._ids) >= self._limits.episode_tokens:
            return None
        chat = self._policy.chat
        history = str(chat.tokenizer.decode(self._ids))
        text = self._policy.script(history, history.count(OPENING) - 1)
        ids = chat.turn_ids(text)[:max_tokens]
        self._policy.fed.append(list(self._ids))
        self._ids += ids
        turn = chat.read(ids, self._tools)
        logprobs = tuple(-1.0 / (1 + i) for i in ids)
        return Segment("policy", turn.text, tuple(ids), logprobs, thought=turn.thought)

    def extend(self, token_ids: Sequence[int]) -> None:
        self._ids += token_ids

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._policy.open_count -= 1
