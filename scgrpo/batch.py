"""Episodes as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from envs.types import Episode

__all__ = ["Batch", "Rows", "collate", "mini_batches", "rows_of"]


@dataclass(frozen=True)
class Batch:
    """B episodes of up to T tokens, padded on the right. An entry at [b, t] is about token t.

    | field | meaning |
    |---|---|
    | token_ids | (B, T) int64, exactly as sampled or fed |
    | real | (B, T) bool, False at padding |
    | action_mask | (B, T) bool, True at tokens that the policy sampled |
    | old_logprobs | (B, T) float32, nats under the sampling policy; 0 off the action mask |
    | rewards | (B,) float32, 1 for a passed verdict, else 0 |
    | group | (B,) int64, equal for episodes of the same task |
    | verified | (B,) bool, the verdict |
    """

    token_ids: Tensor
    real: Tensor
    action_mask: Tensor
    old_logprobs: Tensor
    rewards: Tensor
    group: Tensor
    verified: Tensor

    @property
    def lengths(self) -> Tensor:
        """(B,) int64: |o_i|, the action tokens of each episode."""
        return self.action_mask.sum(1)


def collate(episodes: Sequence[Episode], group: Sequence[int], *, pad_id: int) -> Batch:
    """The batch of `episodes`, row for row; `group[b]` is the group of episode b.

    Raises ValueError for no episodes, for a `group` of another length, and for an episode without
    a verdict: those leave their group before, so that n and G are counted without them.
    """
    if not episodes or len(group) != len(episodes):
        raise ValueError(
            f"got {len(episodes)} episodes and {len(group)} groups, expected at least one "
            "episode and a group for each"
        )
    for row, episode in enumerate(episodes):
        if episode.verdict is None:
            raise ValueError(
                f"episode {row} (task {episode.task.id!r}) has no verdict ({episode.error}); "
                "leave such episodes out before collating"
            )

    # Padding must carry no gradient: it is off the action mask, and its log-probability is 0.
    verified = [bool(episode.verified) for episode in episodes]
    ids = [episode.token_ids for episode in episodes]
    real = [[True] * len(row) for row in ids]
    action_mask = [episode.action_mask for episode in episodes]
    old_logprobs = [episode.logprobs for episode in episodes]
    return Batch(
        token_ids=_pad(ids, pad_id, torch.int64),
        real=_pad(real, False, torch.bool),
        action_mask=_pad(action_mask, False, torch.bool),
        old_logprobs=_pad(old_logprobs, 0.0, torch.float32),
        rewards=torch.tensor(verified, dtype=torch.float32),
        group=torch.tensor(group, dtype=torch.int64),
        verified=torch.tensor(verified, dtype=torch.bool),
    )


@dataclass(frozen=True)
class Rows:
    """The conversations of episodes, each a row to learn from: first those of `Episode.segments`.

    | field | meaning |
    |---|---|
    | episodes | (B,) with one conversation each |
    | group | (B,) the group of each |
    | play | (B,) the row of the same episode's first conversation, which is its own for the first |
    """

    episodes: list[Episode]
    group: list[int]
    play: list[int]


def rows_of(episodes: Sequence[Episode], group: Sequence[int]) -> Rows:
    """One row for each conversation of the episodes; branches come behind all the others."""
    rows = Rows(list(episodes), list(group), list(range(len(episodes))))
    for row, episode in enumerate(episodes):
        for branch in episode.branches:
            # What is known of each turn is known of the first conversation's.
            conversation = replace(
                episode,
                **vars(branch),
                branches=(),
                states=(),
                progress=(),
                versions=(),
            )
            rows.episodes.append(conversation)
            rows.group.append(group[row])
            rows.play.append(row)
    return rows


def mini_batches(
    group: Sequence[int], mixed: Sequence[bool], count: int
) -> list[list[int]]:
    """The rows in at most `count` parts of whole groups, none of them empty.

    `mixed` says of each row whether its group has both outcomes. Those groups are dealt first, so
    that the parts have equally much to learn from.
    """
    rows_of_group: dict[int, list[int]] = {}
    for row, number in enumerate(group):
        rows_of_group.setdefault(number, []).append(row)

    groups = sorted(rows_of_group.values(), key=lambda rows: not mixed[rows[0]])
    parts: list[list[int]] = []
    for first in range(min(count, len(groups))):
        dealt = groups[first::count]
        parts.append(sorted(row for rows in dealt for row in rows))
    return parts


def _pad(rows: Sequence[Sequence[float]], pad: float, dtype: torch.dtype) -> Tensor:
    """(B, longest row), padded on the right."""
    tensors = [torch.tensor(row, dtype=dtype) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(
        tensors,
        batch_first=True,
        padding_value=pad,
    )
