"""A Hugging Face model as a policy: episodes in threads share one running batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.rollout import Limits
from envs.types import Segment
from scgrpo.models.decoder import Feed
from scgrpo.models.layers.prepacked import PrepackedLinear
from scgrpo.models.paths import choose_path, logits_head
from scgrpo.models.slots import device_copies
from scgrpo.policies.chat import Chat
from scgrpo.policies.chat_options import ChatOptions
from scgrpo.policies.tokens import TokenConversation, TokenPolicy
from scgrpo.runs.stages import reading_stage, stage

__all__ = ["SLOTS", "HFConversation", "HFPolicy", "PolicyClosed"]

SLOTS = 32
"""Episodes that run at once, unless it is said otherwise."""


class PolicyClosed(RuntimeError):
    """The policy was closed, or its engine broke, while an episode waited for a turn."""


@dataclass
class _Request:
    """A turn that an episode waits for, and what it has of it so far.

    | field | meaning |
    |---|---|
    | fresh | ids to feed before the first sample |
    | cached | tokens of this slot that the cache holds |
    | prompt | the prompt's ids, while none of them is cached; else empty |
    | draws | one uniform number for each token to sample |
    | cut | the draws ran out before an end token or a whole tool call |
    | finished | the turn is complete or cut; False if the engine ended before |
    | done | set when the turn is finished, or the engine ended |
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

    def ends(self, chat: Chat) -> bool:
        """Whether the turn is complete or its draws ran out; notes which."""
        complete = self.sampled[-1] in chat.end_ids or chat.closes_call(self.sampled)
        self.cut = len(self.sampled) == len(self.draws) and not complete
        return complete or self.cut


class HFPolicy(TokenPolicy["HFConversation"]):
    """Samples turns at temperature 1 (or greedily at 0), top_p 1, token-exact and append-only.

    One engine thread owns the model: it feeds whatever waits in one packed step, so no episode
    waits at a turn barrier. The cache is kept across an episode's turns, and a prompt that another
    episode has cached is copied instead of computed. Use as a context manager.

    | argument | meaning |
    |---|---|
    | slots | episodes that can run at once; more wait |
    | cache_tokens | longest episode |
    | temperature | 1 samples the model's distribution, 0 takes its mode |
    | chat_options | what the chat template is given |
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        slots: int = SLOTS,
        cache_tokens: int = 1024,
        temperature: float = 1.0,
        chat_options: ChatOptions | None = None,
    ) -> None:
        if temperature not in (0.0, 1.0):
            raise ValueError(
                f"temperature must be 1 (sample) or 0 (greedy), got {temperature}"
            )
        path = choose_path(model)
        self.model = model
        self.chat = Chat(tokenizer, chat_options)
        self.temperature = temperature
        self.cache_tokens = cache_tokens
        self._version = 0
        self._head = _sampling_head(model)
        self._slots = path.decoder.slots(model, slots, cache_tokens)
        self._free = list(range(slots))
        self._cached_prompts: dict[tuple[int, ...], int] = {}
        self._waiting: list[_Request] = []
        self._running: list[_Request] = []
        self._wake = threading.Condition()
        self._closed = False
        self._decoding = False
        self._paused = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._loop, name="policy", daemon=True)
        self._thread.start()

    @property
    def version(self) -> int:
        """How many weight updates it has seen."""
        return self._version

    @property
    def shares_weights(self) -> bool:
        """Whether what it samples has the very probabilities that the update computes.

        On a GPU sampling and learning take different kernels over the same weights, whose rounding
        differs.
        """
        return self.model.device.type == "cpu"

    @property
    def failure(self) -> str:
        """What broke the engine, which then samples nothing any more; empty if nothing did."""
        if self._failure is None:
            return ""
        return f"{self._failure} ({type(self._failure).__name__})"

    def _open(
        self,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> HFConversation:
        """Waits for a free slot. Raises PolicyClosed after `close`."""
        with self._wake:
            self._wake.wait_for(lambda: self._free or self._closed)
            self._check_open()
            slot = self._free.pop(0)
        return HFConversation(self, slot, prompt, tools, limits, seed)

    def sleep(self) -> None:
        """Frees what only sampling needs, until the next turn; for the time of an update.

        Raises RuntimeError while a conversation is open: it would lose its cache.
        """
        with self._wake:
            self._require_idle()
            self._cached_prompts.clear()
            self._slots.clear()
            if isinstance(self._head, PrepackedLinear):
                self._head.clear()

    def sync_weights(self) -> None:
        """To be called when the weights changed: raises the version and forgets cached prompts.

        Raises RuntimeError while a conversation is open: its cache would be stale.
        """
        with self._wake:
            self._require_idle()
            self._version += 1
            self._cached_prompts.clear()

    @contextmanager
    def writing_weights(self) -> Iterator[None]:
        """For writing the weights while conversations are open: nothing is sampled in the block.

        It begins between two decode steps, and at its end the version is counted up. Conversations
        keep the keys and values of the old weights and go on with the new ones, as in PipelineRL
        (arXiv:2509.19128): a token's log-probability is that which it was sampled with.
        """
        with self._wake:
            self._paused = True
            self._wake.wait_for(lambda: not self._decoding)
        try:
            yield
        finally:
            with self._wake:
                self._version += 1
                # New conversations start from the new weights alone.
                self._cached_prompts.clear()
                self._paused = False
                self._wake.notify_all()

    def close(self) -> None:
        """Ends the engine; waiting episodes get PolicyClosed. Safe to call twice."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join()

    def _require_idle(self) -> None:
        if len(self._free) < self._slots.count:
            raise RuntimeError("the weights change while episodes are running")

    def _check_open(self) -> None:
        if self._closed:
            reason = "it was closed"
            if self._failure:
                reason = f"its engine broke: {self.failure}"
            raise PolicyClosed(
                f"the policy gives no turns: {reason}"
            ) from self._failure

    def _release(self, slot: int) -> None:
        with self._wake:
            self._free.append(slot)
            self._wake.notify_all()

    def _finish(self, request: _Request) -> None:
        """Hands a request to the engine and waits for its end. Raises PolicyClosed."""
        with self._wake:
            self._check_open()
            self._waiting.append(request)
            self._wake.notify_all()
        request.done.wait()
        if not request.finished:
            self._check_open()

    @torch.inference_mode()
    def _loop(self) -> None:
        """The engine: admit, feed, sample, until closed. Whatever breaks it, no episode hangs."""
        # A thread starts on the first GPU, whichever one its process uses.
        if self.model.device.type == "cuda":
            torch.cuda.set_device(self.model.device)
        try:
            while self._admit():
                self._step()
        except Exception as error:  # noqa: BLE001 - a model's code; `_check_open` raises it
            self._failure = error
        finally:
            with self._wake:
                self._closed = True
                self._decoding = False
                for request in [*self._running, *self._waiting]:
                    request.done.set()
                self._wake.notify_all()

    def _admit(self) -> bool:
        """Moves waiting requests into the batch; sleeps while there is nothing to do.

        A request whose prompt is being computed right now waits for it, instead of computing it
        twice. False when the policy is closed.
        """
        with self._wake:
            self._decoding = False
            if self._paused:
                self._wake.notify_all()
            self._wake.wait_for(self._can_go_on)
            if self._closed:
                return False

            postponed: list[_Request] = []
            computing: set[tuple[int, ...]] = set()
            for request in self._waiting:
                if request.prompt in computing:
                    postponed.append(request)
                    continue
                if request.prompt and not self._reuse_prompt(request):
                    computing.add(request.prompt)
                self._running.append(request)
            self._waiting = postponed
            self._decoding = True
            return True

    def _can_go_on(self) -> bool:
        """Whether the engine has something to do: a step, or to end."""
        has_requests = bool(self._waiting or self._running)
        return self._closed or (has_requests and not self._paused)

    def _reuse_prompt(self, request: _Request) -> bool:
        """Copies a cached prompt into the request's slot; whether there was one.

        The last token is fed again: it predicts the first sample.
        """
        prompt, slot = request.prompt, request.slot
        source = self._cached_prompts.get(prompt)
        # The slot is about to be overwritten, so it no longer holds what it held.
        for cached, cached_slot in list(self._cached_prompts.items()):
            if cached_slot == slot:
                del self._cached_prompts[cached]
        if source is None:
            return False

        if source == slot:
            self._cached_prompts[prompt] = slot
        self._slots.copy(source, slot, len(prompt) - 1)
        request.cached = len(prompt) - 1
        request.fresh = [prompt[-1]]
        return True

    def _step(self) -> None:
        """Feeds every running request its fresh tokens and samples one token for each."""
        running = self._running
        device = self.model.device

        feeds: list[Feed] = []
        draws: list[float] = []
        for request in running:
            feeds.append(Feed(request.slot, request.cached, request.fresh))
            draw = request.draws[len(request.sampled)]
            draws.append(draw)

        (on_device,) = device_copies([torch.tensor(draws)], device)
        counts = [len(feed.ids) for feed in feeds]
        with stage(reading_stage(counts), sum(counts)):
            states = self._slots.feed(feeds)  # (R, D)
        with stage("sampling", len(running)):
            logits = self._head(states).float()
            tokens, logprobs = _sample(
                logits, on_device, greedy=self.temperature == 0.0
            )

            # The only place where a GPU is waited for.
            results = zip(running, tokens.tolist(), logprobs.tolist(), strict=True)
            for request, token, logprob in results:
                self._add_token(request, token, logprob)
        self._running = [request for request in running if not request.finished]

    def _add_token(self, request: _Request, token: int, logprob: float) -> None:
        """Notes a sampled token, and ends the turn if it is complete or its draws ran out."""
        if request.prompt:
            self._cached_prompts[request.prompt] = request.slot
            request.prompt = ()
        request.cached += len(request.fresh)
        request.fresh = [token]
        request.sampled.append(token)
        request.logprobs.append(logprob)

        request.finished = request.ends(self.chat)
        if request.finished:
            request.done.set()


def _sampling_head(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """What makes logits of last hidden states, without gradients. (R, D) -> (R, V)."""
    head = logits_head(model)
    try:
        return PrepackedLinear([head])
    except ValueError:
        return head


def _sample(logits: Tensor, draws: Tensor, *, greedy: bool) -> tuple[Tensor, Tensor]:
    """Ids and log-probabilities by inverse CDF. (R, V), (R,) uniform -> (R,), (R,) nats."""
    top = logits.max(dim=-1, keepdim=True).values
    mass = (logits - top).exp_()
    if greedy:
        chosen = logits.argmax(dim=-1, keepdim=True)
    else:
        # Not normalised: the draw is scaled to the total mass instead.
        cdf = mass.cumsum(dim=-1)
        # A draw just under 1 is rounded to 1, which is no token's: each has mass above it.
        below_one = 1.0 - torch.finfo(cdf.dtype).eps / 2
        uniform = draws.to(cdf.dtype).clamp(max=below_one).unsqueeze(1)
        thresholds = uniform * cdf[:, -1:]
        chosen = torch.searchsorted(cdf, thresholds, right=True)
        # Rounding can put a threshold at the total mass itself.
        last_id = logits.shape[-1] - 1
        chosen = chosen.clamp_(max=last_id)

    chosen_logits = logits.gather(1, chosen)
    log_mass = mass.sum(dim=-1, keepdim=True).log()
    logprobs = chosen_logits - top - log_mass
    return chosen.squeeze(1), logprobs.squeeze(1)


class HFConversation(TokenConversation):
    """One episode's slot and history."""

    def __init__(
        self,
        policy: HFPolicy,
        slot: int,
        prompt: Segment,
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> None:
        super().__init__(policy.chat, prompt, tools, limits, seed)
        self._policy = policy
        self._slot = slot
        self._cached = 0

    def generate(
        self, max_tokens: int | None = None, opening: Sequence[int] = ()
    ) -> Segment | None:
        """See `TokenConversation.generate`.

        `opening` are ids that the turn begins with: they are given, not sampled, so that their
        log-probability is 0. A turn that is complete with them is not sampled at all.
        """
        room = self._room(max_tokens)
        if room < 1:
            return None

        given = list(opening[:room])
        history = [*self._history, *given]
        request = _Request(
            slot=self._slot,
            fresh=history[self._cached :],
            cached=self._cached,
            prompt=() if self._cached else tuple(history),
            # All draws of a turn at once: it does not depend on what else is in the batch.
            draws=self._rng.random(room),
            sampled=given,
            logprobs=[0.0] * len(given),
        )
        if not (given and request.ends(self._chat)):
            self._policy._finish(request)
            self._cached = request.cached
        return self._add_turn(request.sampled, request.logprobs, cut=request.cut)

    def __exit__(self, *exc: object) -> None:
        self._policy._release(self._slot)
