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
from scgrpo.algorithms.advantages import group_z_score

__all__ = ["check_states", "gigpo_advantages", "state_numbers"]

DISCOUNT = 0.95
STEP_SHARE = 1.0


def gigpo_advantages(episodes: Sequence[Episode], group: Tensor) -> list[Tensor]:
    """A of each turn: (turns,) float32 for each of the B episodes. `group` (B,).

    Population std with a floor of 1e-6. Raises ValueError for a turn whose state is not known.
    """
    for episode in episodes:
        check_states(episode, "GiGPO")
    verdicts = [bool(episode.verified) for episode in episodes]
    rewards = torch.tensor(verdicts, dtype=torch.float32)
    returns: list[Tensor] = []
    for episode, reward in zip(episodes, rewards, strict=True):
        returns.append(_returns(episode, reward))
    states = state_numbers(episodes, group)
    if not len(states):
        return returns

    # Turns of one number are a group: the same state in the same group of episodes.
    episode_advantage = group_z_score(rewards, group)
    turn_advantage = group_z_score(torch.cat(returns), states)
    sizes = [len(episode.states) for episode in episodes]
    by_episode = turn_advantage.split(sizes)
    pairs = zip(episode_advantage, by_episode, strict=True)
    return [whole + STEP_SHARE * turns for whole, turns in pairs]


def check_states(episode: Episode, algorithm: str) -> None:
    """Raises ValueError, in the name of the algorithm, unless every turn has its state."""
    if len(episode.states) != len(episode.turns) or "" in episode.states:
        raise ValueError(
            f"{episode.env or 'the environment'} did not report the state of every turn of task "
            f"{episode.task.id!r}; {algorithm} needs episodes of a TextEnv, which does"
        )


def _returns(episode: Episode, reward: Tensor) -> Tensor:
    """V of each turn, (turns,)."""
    turns_after = torch.arange(len(episode.states) - 1, -1, -1)
    return reward * DISCOUNT**turns_after


def state_numbers(episodes: Sequence[Episode], group: Tensor) -> Tensor:
    """(all turns,) int64: equal for turns of one group that start from the same state."""
    numbers: dict[tuple[int, str], int] = {}
    turns: list[int] = []
    for g, episode in zip(group.tolist(), episodes, strict=True):
        for state in episode.states:
            key = (g, state)
            number = numbers.setdefault(key, len(numbers))
            turns.append(number)
    return torch.tensor(turns, dtype=torch.int64)
