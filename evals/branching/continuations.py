"""Plays on from the middle of an episode, many times, with the policy that played it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from envs.rollout import Limits
from envs.types import Episode, Message, Segment
from scgrpo.policies.hf import HFConversation, HFPolicy

__all__ = ["BranchPolicy", "turns_before"]


def turns_before(episode: Episode, tokens: int) -> list[tuple[int, ...]]:
    """The first `tokens` action tokens of an episode, turn by turn.

    The last turn is cut where they end; a turn that ends with them is whole.
    """
    turns: list[tuple[int, ...]] = []
    for turn in episode.turns:
        if tokens <= 0:
            break
        turns.append(turn.token_ids[:tokens])
        tokens -= len(turn.token_ids)
    return turns


@dataclass(frozen=True)
class BranchPolicy:
    """The policy `inner`, whose episodes begin as given ones did and are sampled from there on.

    | field | meaning |
    |---|---|
    | inner | samples what follows |
    | beginnings | an episode's seed -> the episode, and how many of its action tokens are given |
    | seed | of the sampling: the seed of an episode is its environment's alone |

    Each conversation of one seed samples anew. Raises ValueError, which makes an errored episode,
    if the environment answers otherwise than it did the first time.
    """

    inner: HFPolicy
    beginnings: Mapping[int, tuple[Episode, int]]
    seed: int = 0
    _counts: dict[int, int] = field(default_factory=dict[int, int], init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

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
    ) -> _Continuation:
        """Opens a conversation that begins as the episode of that seed did."""
        with self._lock:
            count = self._counts.get(seed, 0)
            self._counts[seed] = count + 1
        words = np.random.SeedSequence([self.seed, seed, count]).generate_state(1)
        episode, tokens = self.beginnings[seed]
        inner = self.inner.begin(messages, tools, limits=limits, seed=int(words[0]))
        return _Continuation(inner, episode, turns_before(episode, tokens))

    def close(self) -> None:
        """Ends `inner`."""
        self.inner.close()


class _Continuation:
    """A conversation whose first turns are given."""

    def __init__(
        self, inner: HFConversation, episode: Episode, turns: list[tuple[int, ...]]
    ) -> None:
        self.prompt = inner.prompt
        self._inner = inner
        self._turns = turns
        self._replies = [s.text for s in episode.segments if s.source == "env"]
        self._count = 0

    def generate(self) -> Segment | None:
        """The next turn: a given one, one that begins as given, or a sampled one."""
        opening = self._turns[self._count] if self._count < len(self._turns) else ()
        self._count += 1
        return self._inner.generate(opening=opening)

    def append(self, reply: str) -> Segment:
        """Adds the environment's reply; behind a given turn it must be the recorded one."""
        if self._count < len(self._turns):
            recorded = self._replies[self._count - 1]
            if reply != recorded:
                raise ValueError(
                    f"got the reply {reply[:80]!r} to the same turns, expected {recorded[:80]!r}: "
                    "an environment must answer by its seed alone to be branched"
                )
        return self._inner.append(reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._inner.__exit__(*exc)
