"""Credit turn by turn: every token of a turn gets the turn's own advantage.

Axes: B episodes, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from envs.types import Episode
from scgrpo.credit.rule import Credit

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward

__all__ = ["PerTurn", "places_in_turn", "turn_numbers"]


@dataclass(frozen=True)
class PerTurn:
    """Weight 1, and an advantage for each turn, which replaces the algorithm's.

    | field | meaning |
    |---|---|
    | advantages | (episodes, group (B,)) -> (turns,) float32 for each of the B episodes |

    The algorithm's `advantage` and `overlong` have no effect with it.
    """

    advantages: Callable[[Sequence[Episode], Tensor], list[Tensor]]

    def __call__(
        self, forward: BatchForward, advantage: Tensor, rng: np.random.Generator
    ) -> Credit:
        """Weight 1, advantage (B, T)."""
        mask = forward.batch.action_mask
        turns = self.advantages(forward.episodes, forward.batch.group)
        values = [
            turn_values.repeat_interleave(_lengths(episode))
            for turn_values, episode in zip(turns, forward.episodes, strict=True)
        ]
        return Credit(mask.float(), _at_tokens(values, mask, torch.float32))


def turn_numbers(episodes: Sequence[Episode], mask: Tensor) -> Tensor:
    """The turn of each action token, counted over the batch: (B, T) int64; 0 off the mask."""
    values: list[Tensor] = []
    first = 0
    for episode in episodes:
        lengths = _lengths(episode)
        numbers = torch.arange(first, first + len(lengths))
        values.append(numbers.repeat_interleave(lengths))
        first += len(lengths)
    return _at_tokens(values, mask, torch.int64)


def places_in_turn(episodes: Sequence[Episode], mask: Tensor) -> Tensor:
    """The place of each action token in its turn, from 0: (B, T) int64; 0 off the mask."""
    values: list[Tensor] = []
    for episode in episodes:
        places = [torch.arange(n) for n in _lengths(episode).tolist()]
        values.append(torch.cat(places) if places else torch.arange(0))
    return _at_tokens(values, mask, torch.int64)


def _lengths(episode: Episode) -> Tensor:
    """(turns,) int64: the action tokens of each turn."""
    lengths = [len(turn.token_ids) for turn in episode.turns]
    return torch.tensor(lengths, dtype=torch.long)


def _at_tokens(values: Sequence[Tensor], mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Each episode's values at its action tokens, (B, T); 0 off the mask."""
    at_tokens = torch.zeros(mask.shape, dtype=dtype)
    for row, of_row in enumerate(values):
        at_tokens[row, mask[row]] = of_row
    return at_tokens
