"""An engine as a policy: token ids in and out, new weights after every step, none stale unnoticed.

An engine of `policies.engines` samples; the conversation is ours, so ids are never made from text
twice. The prefix cache is salted by the policy's version.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.rollout import Limits
from envs.types import Message, Segment
from sandboxes.commands import CommandError
from scgrpo.models.head import output_layer
from scgrpo.policies.chat import Chat, Turn
from scgrpo.policies.chat_options import ChatOptions
from scgrpo.policies.engines.base import Engine, Sampled
from scgrpo.policies.engines.vllm_worker import weight_checksum
from scgrpo.runs.disk import atomic_folder, remove_scratch

__all__ = ["RemotePolicy", "StaleWeightsError"]

KEEP_WEIGHTS = 1


class StaleWeightsError(CommandError):
    """The engine computes with other weights than the trainer; the message says what to do."""


class RemotePolicy:
    """Samples turns at temperature 1, top_p 1, from an engine that follows `model`'s weights.

    `sync_weights` writes the weights to `folder`, has the engine read them, and compares a checksum
    of what it then computes with: StaleWeightsError if it differs. Of a PeftModel it writes the
    adapter alone, under a name of its own for each version. They are deleted at the end. Use as a
    context manager.

    | argument | meaning |
    |---|---|
    | engine | what samples; closed with the policy |
    | folder | where weights are written; on a disk that the engine sees too |
    | cache_tokens | longest episode |
    | chat_options | what the chat template is given |
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        engine: Engine,
        folder: Path,
        *,
        cache_tokens: int = 1024,
        chat_options: ChatOptions | None = None,
    ) -> None:
        self.model, self.cache_tokens = model, cache_tokens
        self.chat = Chat(tokenizer, chat_options)
        self.version = 0
        self._tokenizer, self._engine, self._folder = tokenizer, engine, folder
        try:
            self._sync_weights()
        except BaseException:
            engine.close()
            raise

    @property
    def shares_weights(self) -> bool:
        """False: the engine has a copy, whose probabilities may differ from the trainer's."""
        return False

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        """Opens a conversation. Raises ValueError if the limits go past the engine's."""
        if limits.episode_tokens > self.cache_tokens:
            raise ValueError(
                f"an episode may take {limits.episode_tokens} tokens but the engine holds "
                f"{self.cache_tokens}; raise cache_tokens or lower limits.episode_tokens"
            )
        text, ids = self.chat.prompt(messages, tools)
        prompt = Segment("prompt", text, tuple(ids))
        return _Conversation(self, prompt, tools, limits, seed)

    def sleep(self) -> None:
        """Does nothing: the engine keeps what it holds."""

    def sync_weights(self) -> None:
        """Raises the version and sends the weights; returns when the engine computes with them."""
        self.version += 1
        self._sync_weights()

    def turn(self, ids: Sequence[int], *, room: int, seed: int) -> Sampled:
        """The engine's next turn after `ids`. Raises ServerError."""
        turn = self._engine.sample(
            ids,
            room=room,
            seed=seed,
            salt=f"version-{self.version}",
            stop_ids=sorted(self.chat.end_ids),
            stop_text=self.chat.stop_text,
        )
        # An engine that cannot tell a thought from a call has gone on behind the call.
        length = self.chat.call_length(turn.ids)
        if length == len(turn.ids):
            return turn
        return Sampled(turn.ids[:length], turn.logprobs[:length], cut=False)

    def close(self) -> None:
        """Ends the engine; waiting turns get ServerError. Safe to call twice."""
        self._engine.close()
        # Copies for the engine alone; an adapter's names where its base lay on this machine.
        for copy in self._folder.glob("version-*"):
            shutil.rmtree(copy, ignore_errors=True)
        with suppress(OSError):
            self._folder.rmdir()

    def _sync_weights(self) -> None:
        target = self._folder / f"version-{self.version:06d}"
        remove_scratch(self._folder, "version-*")
        self._folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with atomic_folder(target) as scratch:
                self.model.save_pretrained(scratch)
                self._tokenizer.save_pretrained(scratch)

        if isinstance(self.model, PeftModel):
            self._engine.load_adapter(target)
        else:
            self._engine.load(target)
        self._check_weights()

        # Only now: until the engine has the new version, it may read the old one.
        for old in sorted(self._folder.glob("version-*"))[:-KEEP_WEIGHTS]:
            shutil.rmtree(old)

    def _check_weights(self) -> None:
        """Raises StaleWeightsError unless every worker computes with the trainer's weights."""
        expected = _weight_checksum(self.model)
        checksums = self._engine.weight_checksums()
        if checksums != {expected}:
            raise StaleWeightsError(
                f"the engine computes with weights {sorted(c[:12] for c in checksums)}, the "
                f"trainer has {expected[:12]} (version {self.version}): restart the engine, and "
                f"see that it can read {self._folder}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Conversation:
    """One episode's history of ids."""

    def __init__(
        self,
        policy: RemotePolicy,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> None:
        self.prompt = prompt
        self._tools = tools
        self._policy, self._limits = policy, limits
        self._rng = np.random.default_rng(seed)
        self._history = list(prompt.token_ids)
        self._turn = Turn("")

    def generate(self) -> Segment | None:
        """The next turn; None when the episode's token budget is spent."""
        left = self._limits.episode_tokens - len(self._history)
        room = min(self._limits.turn_tokens, left)
        if room < 1:
            return None

        seed = int(self._rng.integers(2**31))
        ids, logprobs, cut = self._policy.turn(self._history, room=room, seed=seed)
        self._turn = self._policy.chat.read(ids, self._tools)
        self._history += ids
        return Segment(
            "policy",
            self._turn.text,
            tuple(ids),
            tuple(logprobs),
            cut=cut,
            thought=self._turn.thought,
        )

    def append(self, reply: str) -> Segment:
        """Adds the environment's reply to the history."""
        ids = self._policy.chat.reply(
            reply, ended=self._turn.ended, call=self._turn.call
        )
        self._history += ids
        return Segment("env", reply, tuple(ids))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


def _weight_checksum(model: PreTrainedModel) -> str:
    """Of a PeftModel its base's checksum: the engine holds the adapter apart from the base."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    head: Any = output_layer(model)
    return weight_checksum(base, head.weight)
