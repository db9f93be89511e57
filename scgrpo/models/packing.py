"""Episodes as prefix and branches: which rows go through the model together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envs.types import Episode

__all__ = ["TokenIds", "action_ids", "prompt_ids", "packs", "completion_ids"]

TokenIds = tuple[int, ...]


def prompt_ids(episode: Episode) -> TokenIds:
    """Ids of the prompt, up to where the first turn begins."""
    return episode.segments[0].token_ids


def completion_ids(episode: Episode) -> tuple[list[int], list[bool]]:
    """Ids after the opening, and which of them the policy sampled."""
    size = len(prompt_ids(episode))
    return episode.token_ids[size:], episode.action_mask[size:]


def action_ids(episodes: Sequence[Episode], rows: Sequence[int]) -> list[int]:
    """The action tokens of the rows, one row after the other."""
    return [i for row in rows for turn in episodes[row].turns for i in turn.token_ids]


def packs(
    episodes: Sequence[Episode], openings: Mapping[int, TokenIds], pack_tokens: int
) -> list[tuple[TokenIds, list[int]]]:
    """Rows with equal openings, together as far as `pack_tokens` allows.

    A row that never acted, because its opening spent the budget, has nothing to score.
    """
    found: list[tuple[TokenIds, list[int]]] = []
    open_packs: dict[TokenIds, tuple[list[int], int]] = {}
    for row, opening in openings.items():
        if not episodes[row].turns:
            continue
        need = len(completion_ids(episodes[row])[0])
        rows, used = open_packs.get(opening, ([], pack_tokens))
        if used + need > pack_tokens:
            rows, used = [], len(opening)
            found.append((opening, rows))
        rows.append(row)
        open_packs[opening] = (rows, used + need)
    return found
