"""The policy-gradient loss: a clipped surrogate over action tokens, as a plain sum."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["probability_ratio", "surrogate", "token_advantage"]


def surrogate(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantage: Tensor,
    weight: Tensor,
    clip_low: float,
    clip_high: float,
    sequence: Tensor | None = None,
) -> Tensor:
    """-sum of weight * min(rho * A, clip(rho, 1 - clip_low, 1 + clip_high) * A), to be minimised.

    (B, T) each, or (A,) each for the action tokens alone; `advantage` may be (B,). Only a sum: over
    any partition of the rows the parts add up to the whole, in value and gradient. Tokens of weight
    0 are not looked at, so whatever stands at padding does no harm.

    With `sequence` (A,), the episode of each action token, rho is exp(mean of log pi / pi_old) over
    the episode (arXiv:2507.18071); then every action token counts, whatever its weight.
    """
    ratio = probability_ratio(logprobs, old_logprobs, weight, sequence)
    advantage = token_advantage(advantage, logprobs)
    clipped = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    objective = torch.minimum(ratio * advantage, clipped * advantage)
    return -(weight * objective).sum()


def probability_ratio(
    logprobs: Tensor, old_logprobs: Tensor, weight: Tensor, sequence: Tensor | None
) -> Tensor:
    """rho of `surrogate`: pi / pi_old of the token, or of its sequence."""
    log_ratio = logprobs - old_logprobs
    if sequence is None:
        # 1 at tokens of weight 0: whatever stands at padding may be infinite, and 0 * inf is NaN.
        return torch.where(weight != 0, log_ratio, 0.0).exp()

    _, place, size = sequence.unique(return_inverse=True, return_counts=True)
    total = torch.zeros(
        len(size),
        dtype=log_ratio.dtype,
        device=log_ratio.device,
    )
    mean = total.index_add(0, place, log_ratio) / size
    return mean[place].exp()


def token_advantage(advantage: Tensor, logprobs: Tensor) -> Tensor:
    """The advantage in a shape that broadcasts over the tokens: (B,) becomes (B, 1)."""
    return advantage[:, None] if advantage.dim() < logprobs.dim() else advantage
