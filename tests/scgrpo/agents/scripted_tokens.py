"""A policy that writes given texts as token ids, as a model would have written them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from envs.rollout import Limits
from envs.types import Segment
from scgrpo.policies.chat import Chat
from scgrpo.policies.tokens import TokenConversation, TokenPolicy

__all__ = ["ScriptedTokens"]

OPENING = "<|im_start|>assistant\n"


class ScriptedTokens(TokenPolicy["_Conversation"]):
    """Writes `script(history, n)` as the n-th turn of a conversation, counted from 0.

    | attribute | meaning |
    |---|---|
    | fed | for each turn, the ids before it |
    | open_count | conversations that are open |
    """

    version = 5
    temperature = 1.0
    cache_tokens = 10**9

    def __init__(self, tokenizer: Any, script: Callable[[str, int], str]) -> None:
        self.chat = Chat(tokenizer)
        self.script = script
        self.fed: list[list[int]] = []
        self.open_count = 0

    def _open(
        self,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        self.open_count += 1
        return _Conversation(self, prompt, tools, limits, seed)

    def close(self) -> None:
        pass


class _Conversation(TokenConversation):
    def __init__(
        self,
        policy: ScriptedTokens,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> None:
        super().__init__(policy.chat, prompt, tools, limits, seed)
        self._policy = policy

    def generate(self, max_tokens: int | None = None) -> Segment | None:
        before = list(self._history)
        if len(before) >= self._limits.episode_tokens:
            return None
        history = str(self._chat.tokenizer.decode(before))
        text = self._policy.script(history, history.count(OPENING) - 1)
        ids = self._chat.turn_ids(text)[:max_tokens]
        self._policy.fed.append(before)
        return self._add_turn(ids, [-1.0 / (1 + i) for i in ids])

    def __exit__(self, *exc: object) -> None:
        self._policy.open_count -= 1
