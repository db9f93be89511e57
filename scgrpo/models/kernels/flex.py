"""A tree by FlexAttention (arXiv:2412.05496), which computes visible blocks of tokens alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, flex_attention

from scgrpo.models.attention import Scoring, branch_positions

__all__ = ["FlexTreeLayout"]

BLOCK = 128
"""Tokens of a block, which the kernel skips, computes whole, or asks about each pair of."""
PREFIX = -1
"""The number of the prefix, as that of a branch."""


class FlexTreeLayout:
    """`TreeLayout` without padding, in any type and with any `Scoring`.

    On a GPU the kernel is compiled once; elsewhere PyTorch runs an unfused one, for tests.
    """

    def __init__(
        self, prefix: int, branches: Sequence[int], device: torch.device | None = None
    ) -> None:
        numbers = [PREFIX] * prefix
        for number, length in enumerate(branches):
            numbers += [number] * length
        # On the CPU, where blocks are told apart without waiting for a GPU.
        self._cpu_branches = torch.tensor(numbers)
        self._cpu_positions = branch_positions(prefix, branches)
        self._branches = self._cpu_branches.to(device)
        self.positions = self._cpu_positions.to(device)
        self._masks: dict[int | None, BlockMask] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring
    ) -> Tensor:
        """See `Layout.attend`; the same in every layer."""
        attention = partial(
            _attention(query.device.type),
            query[None],
            key[None],
            value[None],
            _softcap_change(scoring.softcap),
            self._mask(scoring.window),
            scoring.scale,
            enable_gqa=True,
        )
        if scoring.sinks is None:
            out = attention()
        else:
            # The share of the softmax that the invisible token leaves.
            out, aux = attention(return_aux=AuxRequest(lse=True))
            share = torch.sigmoid(aux.lse - scoring.sinks.float()[:, None])
            out = out * share[..., None].to(out.dtype)
        return out[0].transpose(0, 1)

    def _mask(self, window: int | None) -> BlockMask:
        """What the tokens see, shared by the layers whose windows are equal."""
        if window not in self._masks:
            self._masks[window] = self._block_mask(window)
        return self._masks[window]

    def _block_mask(self, window: int | None) -> BlockMask:
        branches, positions = self._branches, self.positions

        def visible(_row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            """Whether a token sees another, both by their places among the packed ones."""
            of_key = branches[key]
            behind = positions[query] - positions[key]
            seen = ((of_key == PREFIX) | (of_key == branches[query])) & (behind >= 0)
            return seen if window is None else seen & (behind < window)

        seen_in_part, seen_whole = self._visible_blocks(window)
        device, tokens = positions.device, len(positions)
        return BlockMask.from_kv_blocks(
            *_block_order(seen_in_part, device),
            *_block_order(seen_whole, device),
            BLOCK_SIZE=BLOCK,
            mask_mod=visible,
            seq_lengths=(tokens, tokens),
        )

    def _visible_blocks(self, window: int | None) -> tuple[Tensor, Tensor]:
        """Blocks of keys that a block of queries sees in part, and those that it sees whole.

        Two of (blocks, blocks), bool. Blocks that may be seen in part count as such.
        """
        first_branch, last_branch = _extremes(self._cpu_branches)
        first, last = _extremes(self._cpu_positions)
        of_queries = torch.stack([first_branch, last_branch, first, last]).unsqueeze(2)
        query_first_branch, query_last_branch, query_first, query_last = of_queries

        overlaps = first_branch <= query_last_branch
        overlaps &= last_branch >= query_first_branch
        some = ((first_branch == PREFIX) | overlaps) & (first <= query_last)
        # Numbers rise along the tokens, so that all four are equal then.
        is_one = first_branch == query_last_branch
        is_one &= last_branch == query_first_branch
        every = ((last_branch == PREFIX) | is_one) & (last <= query_first)
        if window is not None:
            some &= query_first - last < window
            every &= query_last - first < window
        if len(self._cpu_positions) % BLOCK:
            every[:, -1] = False  # it has places behind the last token
        return some & ~every, every


def _extremes(values: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each block. (N,) -> two of (blocks,)."""
    missing = -len(values) % BLOCK
    padded = torch.cat([values, values[-1:].expand(missing)]).view(-1, BLOCK)
    return padded.amin(1), padded.amax(1)


def _block_order(blocks: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """How many columns of each row are True, and their numbers first. (1, 1, n), (1, 1, n, n)."""
    counts = blocks.sum(1, dtype=torch.int32)
    order = blocks.int().argsort(dim=1, descending=True, stable=True).int()
    return counts[None, None].to(device), order[None, None].to(device)


def _softcap_change(softcap: float | None) -> Callable[..., Tensor] | None:
    """What changes a scaled score, if something does."""
    if softcap is None:
        return None

    def cap(score: Tensor, *_places: Tensor) -> Tensor:
        """Approaches the bound by tanh."""
        return softcap * torch.tanh(score / softcap)

    return cap


@cache
def _attention(device: str) -> Any:
    """The kernel; compiled for lengths that change with every pack."""
    if device != "cuda":
        return flex_attention
    return torch.compile(flex_attention, dynamic=True)
