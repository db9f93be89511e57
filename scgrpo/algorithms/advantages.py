"""What an episode's reward is worth against others: one number for each episode.

Axes: B episodes, G episodes of one group.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "batch_z_score",
    "group_z_score",
    "in_uniform_group",
    "leave_one_out",
    "mean_difference",
    "no_reward",
    "overlong_penalty",
]

STD_FLOOR = 1e-6


def in_uniform_group(rewards: Tensor, group: Tensor) -> Tensor:
    """True if all rewards of the row's group are equal. (B,), (B,) -> (B,) bool."""
    same_group = group[:, None] == group[None, :]
    same_reward = rewards[:, None] == rewards[None, :]
    agrees = same_reward | ~same_group
    return agrees.all(1)


def group_z_score(rewards: Tensor, group: Tensor) -> Tensor:
    """(r_i - mean) / std over the group, the population std. (B,), (B,) -> (B,).

    The std has a floor of 1e-6. Groups whose rewards are all equal get exactly 0.
    Source: arXiv:2402.03300.
    """
    advantage = torch.zeros_like(rewards)
    for g in group.unique():
        rows = group == g
        group_rewards = rewards[rows]
        std = group_rewards.std(correction=0).clamp_min(STD_FLOOR)
        advantage[rows] = (group_rewards - group_rewards.mean()) / std
    return advantage.masked_fill(in_uniform_group(rewards, group), 0.0)


def mean_difference(rewards: Tensor, group: Tensor) -> Tensor:
    """r_i - mean of the group. (B,), (B,) -> (B,). Source: arXiv:2503.20783."""
    advantage = torch.zeros_like(rewards)
    for g in group.unique():
        rows = group == g
        group_rewards = rewards[rows]
        advantage[rows] = group_rewards - group_rewards.mean()
    return advantage.masked_fill(in_uniform_group(rewards, group), 0.0)


def leave_one_out(rewards: Tensor, group: Tensor) -> Tensor:
    """r_i - mean of the group's others: `mean_difference` times G / (G - 1). (B,), (B,) -> (B,).

    An episode alone in its group gets 0. Source: arXiv:2402.14740.
    """
    same_group = group[:, None] == group[None, :]
    size = same_group.sum(1)
    others = (size - 1).clamp_min(1)
    difference = mean_difference(rewards, group)
    return difference * size / others


def batch_z_score(rewards: Tensor, group: Tensor) -> Tensor:
    """(r_i - mean r) / std r over the whole batch, whatever the group. (B,), (B,) -> (B,).

    The std is the population one with a floor of 1e-6; equal rewards get exactly 0.
    Source: arXiv:2501.03262.
    """
    return group_z_score(rewards, torch.zeros_like(group))


def overlong_penalty(tokens: Tensor, budget: int, share: float) -> Tensor:
    """What an episode of `tokens` (B,) loses of its reward: (B,) float32 in [-1, 0].

    With L = budget and C = share * budget: 0 up to L - C, then (L - C - tokens) / C, which is -1 at
    L and stays there. Zeros for a share of 0. Source: arXiv:2503.14476, equation 13, with
    C / L = 4096 / 20480; `tokens` there are the answer's, here the episode's, as is the budget.
    """
    if share == 0.0:
        return torch.zeros(len(tokens))
    buffer = share * budget
    room = budget - buffer - tokens.float()
    return (room / buffer).clamp(-1.0, 0.0)


def no_reward(rewards: Tensor, group: Tensor) -> Tensor:
    """0 for every episode: what is learned comes from a teacher alone. (B,), (B,) -> (B,)."""
    return torch.zeros_like(rewards)
