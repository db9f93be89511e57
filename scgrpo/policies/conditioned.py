"""A policy with something in front of each episode's prompt, as a teacher reads a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from envs.rollout import Conversation, Limits, Policy, PromptTooLongError
from envs.types import Message
from scgrpo.policies.chat import Chat

__all__ = ["ConditionedPolicy", "Condition"]

Condition = Callable[[Sequence[Message]], Sequence[Message]]
"""An episode's opening messages to those that the policy reads."""


@dataclass(frozen=True)
class ConditionedPolicy:
    """The policy `inner`, whose episodes read other opening messages.

    What they add to the prompt is no part of the episode's budget: every episode has the same room
    for turns, with and without it. `inner` and whoever plays must allow for the longer prompt.

    | field | meaning |
    |---|---|
    | chat | that of `inner`, to count tokens |
    | limits | token budgets of an episode without the addition |
    | conditions | sampling seed -> what that episode reads; others read their own messages |
    """

    inner: Policy
    chat: Chat
    limits: Limits
    conditions: Mapping[int, Condition] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """How many weight updates it has seen."""
        return self.inner.version

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> Conversation:
        """Opens a conversation; `limits`, those of the longer prompts, are narrowed to its own.

        Raises PromptTooLongError if the messages alone leave no room for a turn.
        """
        _, plain = self.chat.prompt(messages, tools)
        if len(plain) >= self.limits.episode_tokens:
            raise PromptTooLongError(len(plain), self.limits)

        condition = self.conditions.get(seed)
        tokens = self.limits.episode_tokens
        if condition is not None:
            messages = condition(messages)
            _, conditioned = self.chat.prompt(messages, tools)
            tokens += len(conditioned) - len(plain)
        own = replace(self.limits, episode_tokens=min(tokens, limits.episode_tokens))
        return self.inner.begin(messages, tools, limits=own, seed=seed)

    def close(self) -> None:
        """Ends `inner`."""
        self.inner.close()
