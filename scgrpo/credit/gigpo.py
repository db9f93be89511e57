"""GiGPO: an episode's advantage in its group, and a turn's among turns from the same state.

    A_E(i)   = (R_i - mean R) / std R                  over the group's episodes, R the verdict
    A_S(i,k) = (V_ik - mean V) / std V                 over the turns of the group that start from
                                                       the same state as turn k of episode i
    V_ik     = 0.95^(turns of i after k) * R_i         the discounted return
    A(i,k)   = A_E(i) + A_S(i,k)                       the same at every token of turn k

A state that one turn alone starts from gives A_S = 0. Source: arXiv:2505.10978, equations 3 to 8,
with omega = 1. There states are observations; here they are the environment's own, by their hash.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from envs.types import Episode
from scgrpo.algorithms.advantages import zscored

__all__ = ["gigpo_advantages"]

DISCOUNT = 0.95
STEP_SHARE = 1.0


def gigpo_advantages(episodes: Sequence[Episode], group: Tensor) -> list[Tensor]:
    """A of each turn: (turns,) float32 for each of the B episodes. `group` (B,).

    Population std with a floor of 1e-6. Raises ValueError for a turn whose state is not known.
    """
    for episode in episodes:
        if len(episode.states) != len(episode.turns) or "" in episode.states:
            raise ValueError(
                f"{episode.env or 'the environment'} tells not every turn's state of task "
                f"{episode.task.id!r}; GiGPO wants an environment whose info has `state`"
            )
    rewards = torch.tensor([float(bool(episode.verified)) for episode in episodes])
    whole = zscored(rewards, group)
    sizes = [len(episode.states) for episode in episodes]
    anchors: dict[tuple[int, str], int] = {}
    places = [
        anchors.setdefault((g, state), len(anchors))
        for g, episode in zip(group.tolist(), episodes, strict=True)
        for state in episode.states
    ]
    left = [torch.arange(size - 1, -1, -1) for size in sizes]
    returns = [
        reward * DISCOUNT**after for reward, after in zip(rewards, left, strict=True)
    ]
    if not places:
        return returns
    steps = zscored(torch.cat(returns), torch.tensor(places)).split(sizes)
    return [a + STEP_SHARE * step for a, step in zip(whole, steps, strict=True)]
