"""Unpadded sequences say of a tree what the dense layout says, in value and gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scgrpo.models.attention import Scoring
from scgrpo.models.kernels import varlen
from scgrpo.models.kernels.varlen import VarlenTreeLayout
from tests.scgrpo.models.kernels.trees import BRANCHES, PREFIX, check_equals_dense


def documented(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_ends: Tensor,
    key_ends: Tensor,
    longest_query: int,
    longest_key: int,
    **options: Any,
) -> Tensor:
    """What `varlen_attn` computes by its documentation, sequence by sequence."""
    past, future = options["window_size"]
    assert options["enable_gqa"]
    assert future == 0
    query_lengths, key_lengths = query_ends.diff().tolist(), key_ends.diff().tolist()
    assert (longest_query, longest_key) == (max(query_lengths), max(key_lengths))
    parts: list[Tensor] = []
    rows = zip(
        query.split(query_lengths),
        key.split(key_lengths),
        value.split(key_lengths),
        strict=True,
    )
    group = query.shape[1] // key.shape[1]
    for queries, keys, values in rows:
        keys, values = (part.repeat_interleave(group, dim=1) for part in (keys, values))
        scores = torch.einsum("qhd,khd->hqk", queries, keys) * options["scale"]
        # Flash attention aligns the last query with the last key.
        ends = torch.arange(len(queries))[:, None] + len(keys) - len(queries)
        behind = ends - torch.arange(len(keys))
        hidden = (behind < 0) | ((behind > past) if past >= 0 else False)
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        parts.append(torch.einsum("hqk,khd->qhd", weights, values))
    return torch.cat(parts)


@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("window", [None, 2, 40, 200])
def test_sequences_of_prefix_and_branches_are_the_tree(
    window: int | None, key_heads: int, monkeypatch
):
    monkeypatch.setattr(varlen, "_kernel", lambda: documented)
    monkeypatch.setattr(varlen, "HALF_TYPES", (torch.float32,))
    layout = VarlenTreeLayout(PREFIX, BRANCHES)
    check_equals_dense(layout, Scoring(0.25, window), key_heads)


@pytest.mark.parametrize(
    ("scoring", "dtype", "width", "message"),
    [
        (Scoring(1.0), torch.float32, 8, r"half precision, not torch\.float32"),
        (Scoring(1.0, softcap=2.0), torch.bfloat16, 8, "plain softmax"),
        (Scoring(1.0, sinks=torch.zeros(2)), torch.bfloat16, 8, "plain softmax"),
        (Scoring(1.0), torch.bfloat16, 4, "one head width"),
    ],
)
def test_what_the_kernel_lacks_is_refused(
    scoring: Scoring, dtype: torch.dtype, width: int, message: str
):
    query = key = torch.zeros(2, 3, 8, dtype=dtype)
    value = torch.zeros(2, 3, width, dtype=dtype)
    with pytest.raises(ValueError, match=message):
        VarlenTreeLayout(1, [2]).attend(0, query, key, value, scoring)
