"""The policy-gradient loss over action tokens: a clipped surrogate, and a KL term."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "is_clipped",
    "kl_estimate",
    "probability_ratio",
    "surrogate",
    "token_advantage",
]


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


@torch.no_grad()
def is_clipped(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantage: Tensor,
    weight: Tensor,
    clip_low: float,
    clip_high: float,
    sequence: Tensor | None = None,
) -> Tensor:
    """Which tokens the clip of `surrogate` leaves without a gradient; bool, shaped as `logprobs`.

    The ratio has left the range on the side that the advantage pulls to.
    """
    ratio = probability_ratio(logprobs, old_logprobs, weight, sequence)
    advantage = token_advantage(advantage, logprobs)
    above = (advantage > 0) & (ratio > 1.0 + clip_high)
    below = (advantage < 0) & (ratio < 1.0 - clip_low)
    return above | below


def kl_estimate(
    logprobs: Tensor, old_logprobs: Tensor, reference_logprobs: Tensor
) -> Tensor:
    """KL(pi || pi_ref) in nats at tokens that pi_old sampled, never negative.

    (exp(r) - r - 1) pi / pi_old with r = log pi_ref / pi. Its mean and, as the ratio has a
    gradient too, the mean of its gradient are those of the KL. Sources: arXiv:2402.03300, 4.1.1;
    the ratio is arXiv:2512.02556's.
    """
    log_ratio = reference_logprobs - logprobs
    return (logprobs - old_logprobs).exp() * (log_ratio.expm1() - log_ratio)


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
