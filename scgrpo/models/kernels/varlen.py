"""A tree by Flash attention over sequences of unlike length, as PyTorch's `varlen_attn` has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from scgrpo.models.attention import Scoring, branch_positions

__all__ = ["VarlenTreeLayout"]

HALF_TYPES = (torch.bfloat16, torch.float16)


class VarlenTreeLayout:
    """`TreeLayout` without padding: it takes the memory and the time of its tokens alone.

    Prefix and branches are sequences of queries; the keys of a branch are those of the prefix and
    its own, so that the last query sees all of them (the diagonal ends in the lower right corner).
    Raises ValueError for what the kernel lacks: types other than bf16 and fp16, scores with a cap
    or sinks, values of another width than keys, and a PyTorch without it.
    """

    def __init__(
        self, prefix: int, branches: Sequence[int], device: torch.device | None = None
    ) -> None:
        self._kernel = _kernel()
        self._lengths = [prefix, *branches]
        key_lengths = [prefix, *(prefix + length for length in branches)]
        self._longest = max(self._lengths), max(key_lengths)
        self._query_ends = _ends(self._lengths, device)
        self._key_ends = _ends(key_lengths, device)
        self.positions = branch_positions(prefix, branches, device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring
    ) -> Tensor:
        """See `Layout.attend`; the same in every layer."""
        if query.dtype not in HALF_TYPES:
            raise ValueError(
                f"varlen_attn computes in half precision, not {query.dtype}"
            )
        if not scoring.is_plain or value.shape[-1] != key.shape[-1]:
            raise ValueError("varlen_attn has a plain softmax and one head width")
        # It counts the tokens before a query, which itself is always seen.
        past = -1 if scoring.window is None else scoring.window - 1
        return self._kernel(
            query.transpose(0, 1).contiguous(),
            self._with_prefix(key),
            self._with_prefix(value),
            self._query_ends,
            self._key_ends,
            *self._longest,
            scale=scoring.scale,
            window_size=(past, 0),
            enable_gqa=True,
        )

    def _with_prefix(self, packed: Tensor) -> Tensor:
        """Keys or values, the prefix again before each branch. (K, N, d) -> (T, K, d)."""
        # Split once: the backward pass of a slice alone would be as long as the whole pack.
        prefix, *branches = packed.transpose(0, 1).split(self._lengths)
        parts = [prefix]
        for branch in branches:
            parts += [prefix, branch]
        return torch.cat(parts)


def _ends(lengths: Sequence[int], device: torch.device | None) -> Tensor:
    """Where each sequence begins among packed ones, and where the last one ends. (R + 1,)."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


def _kernel() -> Callable[..., Any]:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError as error:
        raise ValueError(f"torch {torch.__version__} has no varlen_attn") from error
    return varlen_attn
