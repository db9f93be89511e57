"""Engines as a policy: token ids in and out, new weights after every step, none stale unnoticed.

A fleet of `policies.engines` samples; the conversation is ours, so ids are never made from text
twice. The prefix cache is salted by the policy's version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.rollout import Limits
from envs.types import Segment
from scgrpo.policies.chat import Chat
from scgrpo.policies.chat_options import ChatOptions
from scgrpo.policies.engines.base import Sampled
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.policies.tokens import TokenConversation, TokenPolicy
from scgrpo.policies.weight_sync import WeightSync

__all__ = ["RemotePolicy"]


class RemotePolicy(TokenPolicy["_Conversation"]):
    """Samples turns at temperature 1, top_p 1, from engines that follow `model`'s weights.

    Use as a context manager.

    | argument | meaning |
    |---|---|
    | fleet | the engines that this process samples from; closed with the policy |
    | weight_sync | how they follow the weights; closed with the policy |
    | cache_tokens | longest episode |
    | chat_options | what the chat template is given |
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        fleet: Fleet,
        weight_sync: WeightSync,
        *,
        cache_tokens: int = 1024,
        chat_options: ChatOptions | None = None,
    ) -> None:
        self.model, self.cache_tokens = model, cache_tokens
        self.chat = Chat(tokenizer, chat_options)
        self._fleet, self._weight_sync = fleet, weight_sync
        try:
            weight_sync.begin()
        except BaseException:
            self.close()
            raise

    @property
    def version(self) -> int:
        """How many weight updates the engines have followed."""
        return self._weight_sync.version

    @property
    def shares_weights(self) -> bool:
        """False: the engine has a copy, whose probabilities may differ from the trainer's."""
        return False

    def _open(
        self,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        return _Conversation(self, prompt, tools, limits, seed)

    def sleep(self) -> None:
        """Frees the engines' memory until the next weight sync, if they are to sleep."""
        self._weight_sync.sleep()

    def sync_weights(self) -> None:
        """Raises the version and sends the weights; returns when the engines compute with them.

        All ranks must call it.
        """
        self._weight_sync.follow()

    def turn(
        self, ids: Sequence[int], *, room: int, seed: int, group: int = 0
    ) -> Sampled:
        """The next turn after `ids`, in a conversation of the group. Raises ServerError."""
        turn = self._fleet.sample(
            ids,
            group=group,
            room=room,
            seed=seed,
            salt=self._weight_sync.name,
            stop_ids=sorted(self.chat.end_ids),
            stop_text=self.chat.stop_text,
            adapter=self._weight_sync.adapter,
        )
        # An engine that cannot tell a thought from a call has gone on behind the call.
        length = self.chat.call_length(turn.ids)
        if length == len(turn.ids):
            return turn
        return Sampled(turn.ids[:length], turn.logprobs[:length], cut=False)

    def close(self) -> None:
        """Ends the engines; waiting turns get ServerError. Safe to call twice."""
        self._fleet.close()
        self._weight_sync.close()


class _Conversation(TokenConversation):
    """One episode's history, each turn of which is sampled by any of the engines."""

    def __init__(
        self,
        policy: RemotePolicy,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> None:
        super().__init__(policy.chat, prompt, tools, limits, seed)
        self._policy = policy
        self._group = hash(prompt.token_ids)

    def generate(self, max_tokens: int | None = None) -> Segment | None:
        """See `TokenConversation.generate`."""
        room = self._room(max_tokens)
        if room < 1:
            return None

        seed = int(self._rng.integers(2**31))
        ids, logprobs, cut = self._policy.turn(
            self._history, room=room, seed=seed, group=self._group
        )
        return self._add_turn(ids, logprobs, cut=cut)
