"""The value of the tokens of an episode, by how often the policy succeeds from before each.

The value of a history is the policy's success from there on; the gain of a token, its advantage, is
the value behind it less the value before it. Gains of an episode add up to its outcome less the
value of its prompt. A token that the policy writes almost surely has no gain, so only the others
are branched.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.types import Episode
from evals.branching.continuations import BranchPolicy
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts

__all__ = ["HALVES", "Branches", "branch", "open_tokens"]

HALVES = 2
"""The continuations are split, so that the noise of one half is not that of the other."""

Floats = NDArray[np.float64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Branches:
    """What playing on said of an episode.

    | field | meaning |
    |---|---|
    | tokens | (P,) places, among its action tokens, of those that could have been others |
    | values | (P, 2) success from before each of them, by halves of the continuations; NaN if a |
    | | half has no verdict |
    | outcome | 1 solved, 0 not: the value behind the last of them |
    """

    tokens: Sequence[int]
    values: Floats
    outcome: float

    def gains(self) -> Floats:
        """(P, 2) of each token: the value before the next one less that before itself."""
        behind = np.vstack([self.values[1:], np.full((1, HALVES), self.outcome)])
        return behind - self.values


def open_tokens(episode: Episode, certain: float) -> list[int]:
    """Places of the action tokens whose probability was below `certain` when they were sampled."""
    logprobs = [value for turn in episode.turns for value in turn.logprobs]
    limit = math.log(certain)
    return [place for place, value in enumerate(logprobs) if value < limit]


def branch(
    rollouts: Rollouts,
    policy: HFPolicy,
    episodes: Sequence[Episode],
    *,
    continuations: int,
    certain: float,
    seed: int,
    description: str = "",
) -> list[Branches]:
    """Plays on from before every open token of the episodes, which `policy` has sampled.

    `continuations` times from each, an even number. Raises ValueError for an odd one, and for
    episodes of one seed: the environment of a continuation has its episode's.
    """
    if continuations < HALVES or continuations % HALVES:
        raise ValueError(
            f"got {continuations} continuations, expected a positive even number"
        )
    if len({episode.seed for episode in episodes}) < len(episodes):
        raise ValueError("two of the episodes have one seed, expected one for each")

    tokens = [open_tokens(episode, certain) for episode in episodes]
    values: list[list[Floats]] = [[] for _ in episodes]
    rounds = max(map(len, tokens), default=0)
    for number in range(rounds):
        # One place of each episode a round, because a seed names the episode that it goes on from.
        places = [i for i, of_episode in enumerate(tokens) if number < len(of_episode)]
        beginnings = {
            episodes[i].seed: (episodes[i], tokens[i][number]) for i in places
        }
        results = rollouts(
            BranchPolicy(policy, beginnings, seed=seed + number),
            [episodes[i].task for i in places],
            group=continuations,
            seed=[episodes[i].seed for i in places for _ in range(continuations)],
            description=f"{description} {number + 1}/{rounds}" if description else "",
        )
        for place, i in enumerate(places):
            group = results[place * continuations : (place + 1) * continuations]
            values[i].append(_by_halves(group))
    return [
        Branches(
            of_tokens, np.reshape(of_values, (-1, HALVES)), float(bool(e.verified))
        )
        for e, of_tokens, of_values in zip(episodes, tokens, values, strict=True)
    ]


def _by_halves(episodes: Sequence[Episode]) -> Floats:
    """(2,) success of either half; NaN without a verdict."""
    outcomes = np.array(
        [np.nan if e.verdict is None else float(bool(e.verified)) for e in episodes]
    )
    if num_errors := int(np.isnan(outcomes).sum()):
        first = next(e for e in episodes if e.verdict is None)
        logger.warning("%d continuations errored: %s", num_errors, first.error)
    halves = outcomes.reshape(HALVES, -1)
    counts = (~np.isnan(halves)).sum(1)
    return np.where(counts > 0, np.nansum(halves, 1) / np.maximum(counts, 1), np.nan)
