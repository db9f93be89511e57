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

__all__ = ["PerTurn"]


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
        return Credit(mask.float(), _at_tokens(turns, forward.episodes, mask))


def _at_tokens(
    turns: Sequence[Tensor], episodes: Sequence[Episode], mask: Tensor
) -> Tensor:
    """Each turn's advantage at its tokens, (B, T); 0 off the action tokens."""
    advantage = torch.zeros(mask.shape)
    pairs = zip(turns, episodes, strict=True)
    for row, (values, episode) in enumerate(pairs):
        lengths = [len(turn.token_ids) for turn in episode.turns]
        repeats = torch.tensor(lengths, dtype=torch.long)
        advantage[row, mask[row]] = values.repeat_interleave(repeats)
    return advantage
