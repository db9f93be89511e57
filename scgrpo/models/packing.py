"""Episodes as prompts and completions, and which rows go through the model together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envs.types import Episode

__all__ = [
    "TokenIds",
    "action_ids",
    "completion_ids",
    "ids_to_read",
    "pack_cost",
    "pack_rows",
    "prompt_ids",
]

TokenIds = tuple[int, ...]


def prompt_ids(episode: Episode) -> TokenIds:
    """Ids up to where the first turn begins."""
    return episode.segments[0].token_ids


def completion_ids(episode: Episode) -> tuple[list[int], list[bool]]:
    """Ids after the prompt, and which of them the policy sampled."""
    size = len(prompt_ids(episode))
    return episode.token_ids[size:], episode.action_mask[size:]


def ids_to_read(episode: Episode) -> tuple[list[int], list[bool]]:
    """Ids from the first turn to the end of the last one, and which the policy sampled.

    What follows the last turn predicts nothing, and may go beyond the budget: a reply is written
    before anyone knows that there is no room for a turn behind it.
    """
    ids, mask = completion_ids(episode)
    end = max((place for place, acts in enumerate(mask, start=1) if acts), default=0)
    return ids[:end], mask[:end]


def action_ids(episodes: Sequence[Episode], rows: Sequence[int]) -> list[int]:
    """The action tokens of the rows, one row after the other."""
    ids: list[int] = []
    for row in rows:
        for turn in episodes[row].turns:
            ids += turn.token_ids
    return ids


def pack_rows(
    episodes: Sequence[Episode],
    prompts: Mapping[int, TokenIds],
    max_tokens_per_pack: int,
    *,
    shares_prompts: bool = True,
) -> list[tuple[TokenIds, list[int]]]:
    """(prompt, rows) of equal prompts, together as far as `max_tokens_per_pack` allows.

    `prompts` holds each row's prompt, which counts for each row of a pack unless they share it.
    Rows without action tokens (the prompt used up the budget) are skipped. A row that alone is over
    `max_tokens_per_pack` has a pack of its own.
    """
    packs: list[tuple[TokenIds, list[int]]] = []
    # The pack of each prompt that may take more rows, and its tokens so far.
    open_packs: dict[TokenIds, tuple[list[int], int]] = {}

    for row, prompt in prompts.items():
        episode = episodes[row]
        if not episode.turns:
            continue

        completion, _ = ids_to_read(episode)
        shared, own = (len(prompt), 0) if shares_prompts else (0, len(prompt))
        size = own + len(completion)
        rows, tokens = open_packs.get(prompt, ([], max_tokens_per_pack))
        if tokens + size > max_tokens_per_pack:
            rows = []
            tokens = shared
            packs.append((prompt, rows))
        rows.append(row)
        open_packs[prompt] = (rows, tokens + size)

    return packs


def pack_cost(
    prompt: int, completions: Sequence[int], width: int, *, shares_prompts: bool = True
) -> float:
    """What a pass over a pack costs, in tokens of a short row. `width` is that of the states.

    `prompt` and `completions` are numbers of tokens. A decoder layer multiplies a token with about
    12 width**2 weights, and with 2 width values of each token that it sees: a pair costs
    1 / (6 width) of a token.
    """
    copies = 1 if shares_prompts else len(completions)
    tokens = copies * prompt + sum(completions)
    pairs = copies * prompt**2 / 2
    for length in completions:
        pairs += length * prompt + length**2 / 2
    return tokens + pairs / (6 * width)
