"""A Hugging Face model as a policy: episodes in threads share one running batch."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.rollout import Limits
from envs.types import Message, Segment
from scgrpo.models.attention import (
    SlotCache,
    SlotLayout,
    last_hidden_states,
    use_packed,
)
from scgrpo.models.scoring import output_layer
from scgrpo.policies.chat import Chat

__all__ = ["HFPolicy", "PolicyClosed"]

CALL_END = "</tool_call>"


class PolicyClosed(RuntimeError):
    """The policy was closed, or its engine broke, while an episode waited for a turn."""


@dataclass
class _Request:
    """A turn that an episode waits for.

    | field | meaning |
    |---|---|
    | fresh | ids to feed before the first sample |
    | cached | tokens of this slot that the cache holds |
    | prompt | the opening ids, while none of them is cached; else empty |
    | draws | one uniform number for each token to sample |
    | cut | the draws ran out before an end token or a whole tool call |
    | finished | the turn is whole or cut; False where the engine ended before |
    """

    slot: int
    fresh: list[int]
    cached: int
    prompt: tuple[int, ...]
    draws: np.ndarray
    sampled: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    cut: bool = False
    finished: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class HFPolicy:
    """Samples turns at temperature 1 (or greedily at 0), top_p 1, token-exact and append-only.

    One engine thread owns the model: it feeds whatever waits in one packed step, so nobody waits
    at a turn barrier. The cache is kept across an episode's turns, and an opening that another
    episode has cached is copied instead of computed. Use as a context manager.

    | argument | meaning |
    |---|---|
    | slots | episodes that can run at once; more wait |
    | cache_tokens | longest episode |
    | temperature | 1 samples the model's distribution, 0 takes its mode |
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        slots: int = 32,
        cache_tokens: int = 1024,
        temperature: float = 1.0,
    ) -> None:
        if temperature not in (0.0, 1.0):
            raise ValueError(
                f"temperature must be 1 (sample) or 0 (greedy), got {temperature}"
            )
        use_packed(model)
        self.model, self.chat, self._head = model, Chat(tokenizer), output_layer(model)
        self.temperature, self.cache_tokens = temperature, cache_tokens
        self.version = 0
        self._cache = SlotCache(model, slots, cache_tokens)
        self._heads = int(model.config.get_text_config().num_attention_heads)
        self._free = list(range(slots))
        self._openings: dict[tuple[int, ...], int] = {}
        self._waiting: list[_Request] = []
        self._running: list[_Request] = []
        self._wake = threading.Condition()
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._loop, name="policy", daemon=True)
        self._thread.start()

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        """Opens a conversation, waiting for a free slot.

        Raises ValueError where the limits go past the cache, PolicyClosed after `close`.
        """
        if limits.episode_tokens > self.cache_tokens:
            raise ValueError(
                f"an episode may take {limits.episode_tokens} tokens but the cache holds "
                f"{self.cache_tokens}; raise cache_tokens or lower limits.episode_tokens"
            )
        text, ids = self.chat.prompt(messages, tools)
        with self._wake:
            self._wake.wait_for(lambda: self._free or self._closed)
            self._check_open()
            slot = self._free.pop(0)
        return _Conversation(
            self, slot, Segment("prompt", text, tuple(ids)), limits, seed
        )

    def updated(self) -> None:
        """Says that the weights changed: the version rises and cached openings are forgotten.

        Raises RuntimeError while a conversation is open: its cache would be stale.
        """
        with self._wake:
            if len(self._free) < self._cache.keys.shape[1]:
                raise RuntimeError("the weights changed while episodes were running")
            self.version += 1
            self._openings.clear()

    def close(self) -> None:
        """Ends the engine; waiting episodes get PolicyClosed. Safe to call twice."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            why = (
                f"its engine broke: {self._failure}"
                if self._failure
                else "it was closed"
            )
            raise PolicyClosed(f"the policy gives no turns: {why}") from self._failure

    def _release(self, slot: int) -> None:
        with self._wake:
            self._free.append(slot)
            self._wake.notify_all()

    def _turn(self, request: _Request) -> _Request:
        """Hands a request to the engine and waits for its end."""
        with self._wake:
            self._check_open()
            self._waiting.append(request)
            self._wake.notify_all()
        request.done.wait()
        if not request.finished:
            self._check_open()
        return request

    def _loop(self) -> None:
        """The engine: admit, feed, sample, until closed. Whatever breaks it, nobody waits on."""
        try:
            while self._admit():
                self._step()
        except (RuntimeError, ValueError, MemoryError, IndexError) as broken:
            self._failure = broken
        finally:
            with self._wake:
                self._closed = True
                for request in [*self._running, *self._waiting]:
                    request.done.set()
                self._wake.notify_all()

    def _admit(self) -> bool:
        """Moves waiting requests into the batch; sleeps while there is nothing to do.

        An opening that is being computed right now is waited for, not computed twice.
        """
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._running or self._closed)
            if self._closed:
                return False
            held, new = [], set()
            for request in self._waiting:
                if request.prompt in new:
                    held.append(request)
                    continue
                if request.prompt:
                    self._reuse_opening(request, new)
                self._running.append(request)
            self._waiting = held
            return True

    def _reuse_opening(self, request: _Request, new: set[tuple[int, ...]]) -> None:
        """Copies a cached opening into the request's slot, or marks it as about to be cached."""
        source = self._openings.get(request.prompt)
        self._openings = {p: s for p, s in self._openings.items() if s != request.slot}
        if source is None:
            new.add(request.prompt)
            return
        if source != request.slot:
            self._cache.copy(source, request.slot, len(request.prompt) - 1)
        else:
            self._openings[request.prompt] = source
        request.cached, request.fresh = len(request.prompt) - 1, [request.prompt[-1]]

    @torch.inference_mode()
    def _step(self) -> None:
        """Feeds every running request its fresh tokens and samples one token for each."""
        running = self._running
        feeds = [(r.slot, r.cached, len(r.fresh)) for r in running]
        device = self.model.device
        ids = torch.tensor([i for r in running for i in r.fresh], device=device)
        layout = SlotLayout(self._cache, feeds, self._heads)
        hidden = last_hidden_states(self.model, ids, layout)
        ends = (
            torch.tensor([len(r.fresh) for r in running], device=device).cumsum(0) - 1
        )
        logits = self._head(hidden[ends]).float()
        draws = torch.tensor([r.draws[len(r.sampled)] for r in running], device=device)
        chosen, logprobs = _sample(logits, draws, greedy=self.temperature == 0.0)
        still = []
        for r, token, logprob in zip(
            running, chosen.tolist(), logprobs.tolist(), strict=True
        ):
            if r.prompt:
                self._openings[r.prompt] = r.slot
                r.prompt = ()
            r.cached += len(r.fresh)
            r.fresh = [token]
            r.sampled.append(token)
            r.logprobs.append(logprob)
            whole = token in self.chat.end_ids or self._call_closed(r)
            r.cut = not whole and len(r.sampled) == len(r.draws)
            r.finished = whole or r.cut
            if r.finished:
                r.done.set()
            else:
                still.append(r)
        self._running = still

    def _call_closed(self, request: _Request) -> bool:
        """Whether the turn just closed a tool call: what follows is the environment's to write.

        The last token may hold more than the mark's end, but no token holds less than a character.
        """
        return CALL_END in self.chat.text(request.sampled[-len(CALL_END) :])


def _sample(logits: Tensor, draws: Tensor, *, greedy: bool) -> tuple[Tensor, Tensor]:
    """Ids and log-probabilities by inverse CDF. (R, V), (R,) uniform -> (R,), (R,) nats."""
    top = logits.max(dim=-1, keepdim=True).values
    mass = (logits - top).exp_()
    if greedy:
        chosen = logits.argmax(dim=-1, keepdim=True)
    else:
        cdf = mass.cumsum(dim=-1)
        chosen = torch.searchsorted(
            cdf, draws[:, None].to(cdf.dtype) * cdf[:, -1:], right=True
        )
        chosen = chosen.clamp_(max=logits.shape[-1] - 1)
    logprobs = logits.gather(1, chosen) - top - mass.sum(dim=-1, keepdim=True).log()
    return chosen[:, 0], logprobs[:, 0]


class _Conversation:
    """One episode's slot and history."""

    def __init__(
        self, policy: HFPolicy, slot: int, prompt: Segment, limits: Limits, seed: int
    ) -> None:
        self.prompt = prompt
        self._policy, self._slot, self._limits = policy, slot, limits
        self._rng = np.random.default_rng(seed)
        self._history = list(prompt.token_ids)
        self._cached = 0
        self._ended = False

    def generate(self) -> Segment | None:
        """The next turn; None when the episode's token budget is spent."""
        room = min(
            self._limits.turn_tokens, self._limits.episode_tokens - len(self._history)
        )
        if room < 1:
            return None
        request = self._policy._turn(
            _Request(
                slot=self._slot,
                fresh=self._history[self._cached :],
                cached=self._cached,
                prompt=() if self._cached else tuple(self._history),
                draws=self._rng.random(room),
            )
        )
        self._cached = request.cached
        self._ended = request.sampled[-1] == self._policy.chat.end_id
        self._history += request.sampled
        return Segment(
            "policy",
            self._policy.chat.text(request.sampled),
            tuple(request.sampled),
            tuple(request.logprobs),
            cut=request.cut,
        )

    def append(self, reply: str) -> Segment:
        """Adds the environment's reply to the history."""
        ids = self._policy.chat.reply(reply, ended=self._ended)
        self._history += ids
        return Segment("env", reply, tuple(ids))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._policy._release(self._slot)
