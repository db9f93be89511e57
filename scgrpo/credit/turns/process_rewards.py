"""GRPO with process rewards: every turn has a score, and owes the outcome to those that follow.

With the scores r_ik of all turns k of all episodes i of a group, R:

    r'_ik = (r_ik - mean R) / std R
    A_ik  = sum over j >= k of r'_ij            the same at every token of turn k

Source: arXiv:2402.03300, section 4.1.3. There a learned model scores the steps; here the
environment does, after each turn, and the last turn's score is the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from envs.types import Episode
from scgrpo.algorithms.advantages import group_z_score

__all__ = ["process_advantages"]


def process_advantages(episodes: Sequence[Episode], group: Tensor) -> list[Tensor]:
    """A of each turn: (turns,) float32 for each of the B episodes. `group` (B,).

    Population std with a floor of 1e-6; a group whose turns all have one score gets 0. Raises
    ValueError for a turn that the environment has not scored.
    """
    scores: list[float] = []
    for episode in episodes:
        scores += _turn_scores(episode)
    sizes = [len(episode.progress) for episode in episodes]
    turn_group = group.repeat_interleave(torch.tensor(sizes))
    normalized = group_z_score(torch.tensor(scores), turn_group)
    return [_sum_from_each(turns) for turns in normalized.split(sizes)]


def _turn_scores(episode: Episode) -> list[float]:
    scores = [score for score in episode.progress if score is not None]
    if not len(scores) == len(episode.progress) == len(episode.turns):
        raise ValueError(
            f"{episode.env or 'the environment'} did not score every turn of task "
            f"{episode.task.id!r}: got {list(episode.progress)} for {len(episode.turns)} "
            "turns; process rewards need an environment that defines checks()"
        )
    return [float(score) for score in scores]


def _sum_from_each(scores: Tensor) -> Tensor:
    """At k the sum over j >= k. (turns,) -> (turns,)."""
    return scores.flip(0).cumsum(0).flip(0)
