"""Policy-gradient algorithms as values: an advantage, a normalisation, a clip, a credit rule.

Axes: B episodes, G episodes of one group, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scgrpo.credit import CreditOptions

__all__ = [
    "ALGORITHMS",
    "GRPO",
    "SC_GRPO",
    "Algorithm",
    "clip_fraction",
    "per_episode",
    "surrogate",
    "uniform",
    "zscored",
]

STD_FLOOR = 1e-6


@dataclass(frozen=True)
class Algorithm:
    """What one algorithm does differently; the trainer and the loss know no names.

    | field | meaning |
    |---|---|
    | name | how it is asked for |
    | source | the paper |
    | advantage | (rewards (B,), group (B,)) -> (B,) |
    | weight | (action_mask (B, T)) -> (B, T), normalised over the whole batch, 0 off the mask |
    | clip_low, clip_high | the ratio is clipped to [1 - clip_low, 1 + clip_high] |
    | drop_uniform_groups | rows for which `uniform` holds leave before weight is taken |
    | credit | per-token credit by self-conditioning; None for all tokens alike |
    """

    name: str
    source: str
    advantage: Callable[[Tensor, Tensor], Tensor]
    weight: Callable[[Tensor], Tensor]
    clip_low: float = 0.2
    clip_high: float = 0.2
    drop_uniform_groups: bool = False
    credit: CreditOptions | None = None

    def __post_init__(self) -> None:
        if not (0.0 < self.clip_low < 1.0 and self.clip_high > 0.0):
            raise ValueError(
                f"{self.name}: want 0 < clip_low < 1 and clip_high > 0, "
                f"got {self.clip_low} and {self.clip_high}"
            )


def uniform(rewards: Tensor, group: Tensor) -> Tensor:
    """True where all rewards of the row's group are equal. (B,), (B,) -> (B,) bool."""
    same = group[:, None] == group[None, :]
    return (~same | (rewards[:, None] == rewards[None, :])).all(1)


def zscored(rewards: Tensor, group: Tensor) -> Tensor:
    """Centered reward over its group's population std. (B,), (B,) -> (B,).

    The std has a floor of 1e-6. Groups whose rewards are all equal get exactly 0.
    Source: arXiv:2402.03300.
    """
    advantage = torch.zeros_like(rewards)
    for g in group.unique():
        rows = group == g
        mine = rewards[rows]
        spread = mine.std(correction=0).clamp_min(STD_FLOOR)
        advantage[rows] = (mine - mine.mean()) / spread
    return advantage.masked_fill(uniform(rewards, group), 0.0)


def per_episode(action_mask: Tensor) -> Tensor:
    """1/B * 1/|o_i| on action tokens: the mean over tokens, then over episodes. (B, T) -> (B, T).

    With groups of equal size this is the mean over groups of the paper's 1/G sum_i. Where void
    episodes left some groups smaller, every episode still counts alike, so a group counts in
    proportion to its size. An episode without action tokens counts in B and weighs nothing.
    """
    lengths = action_mask.sum(1, keepdim=True).clamp_min(1)
    return action_mask / (lengths * len(action_mask))


def surrogate(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantage: Tensor,
    weight: Tensor,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """-sum of weight * min(rho * A, clip(rho, 1 - clip_low, 1 + clip_high) * A), to be minimised.

    (B, T) each, or (A,) each for the action tokens alone; `advantage` may be (B,). Only a sum: over
    any partition of the rows the parts add up to the whole, in value and gradient. Tokens of weight
    0 are not looked at, so whatever stands at padding does no harm.
    """
    ratio = _ratio(logprobs, old_logprobs, weight)
    spread = _per_token(advantage, logprobs)
    clipped = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    return -(weight * torch.minimum(ratio * spread, clipped * spread)).sum()


def clip_fraction(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantage: Tensor,
    weight: Tensor,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """The sum of `weight` over tokens whose gradient the clip cuts off: a scalar.

    With weights that sum to 1 over the batch it is a share, and it adds up over micro-batches.
    """
    with torch.no_grad():
        ratio = _ratio(logprobs, old_logprobs, weight)
        spread = _per_token(advantage, logprobs)
        above = (ratio > 1.0 + clip_high) & (spread > 0)
        below = (ratio < 1.0 - clip_low) & (spread < 0)
        return (weight * (above | below)).sum()


def _ratio(logprobs: Tensor, old_logprobs: Tensor, weight: Tensor) -> Tensor:
    """pi / pi_old; 1 where the weight is 0, because 0 * inf would be NaN."""
    return torch.where(weight != 0, logprobs - old_logprobs, 0.0).exp()


def _per_token(advantage: Tensor, logprobs: Tensor) -> Tensor:
    return advantage[:, None] if advantage.dim() < logprobs.dim() else advantage


GRPO = Algorithm(name="grpo", source="arXiv:2402.03300", advantage=zscored, weight=per_episode)
SC_GRPO = replace(GRPO, name="sc_grpo", source="arXiv:2606.18810", credit=CreditOptions())

ALGORITHMS = {algorithm.name: algorithm for algorithm in (GRPO, SC_GRPO)}
