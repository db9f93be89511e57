"""How much of a batch the clip of `surrogate` cuts off; one step per batch never clips."""

from __future__ import annotations

import torch
from torch import Tensor

from scgrpo.losses import probability_ratio, token_advantage


@torch.no_grad()
def clip_fraction(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantage: Tensor,
    weight: Tensor,
    clip_low: float,
    clip_high: float,
    sequence: Tensor | None = None,
) -> Tensor:
    """The sum of `weight` over tokens whose gradient the clip cuts off: a scalar.

    With weights that sum to 1 over the batch it is a share, and it adds up over micro-batches.
    """
    ratio = probability_ratio(logprobs, old_logprobs, weight, sequence)
    advantage = token_advantage(advantage, logprobs)
    above = (ratio > 1.0 + clip_high) & (advantage > 0)
    below = (ratio < 1.0 - clip_low) & (advantage < 0)
    return (weight * (above | below)).sum()
