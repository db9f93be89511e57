"""One tree's attention by two layouts: values and gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scgrpo.models.attention import Scoring, TreeLayout

PREFIX, BRANCHES = 150, [5, 300, 1, 130]
"""Tokens, so that borders lie inside of blocks of 128 tokens and on them."""


def values_and_gradients(layout: Any, scoring: Scoring, key_heads: int) -> list[Tensor]:
    """Output of random input, and its gradients; each as a share of its largest value."""
    generator = torch.Generator().manual_seed(0)
    tokens = PREFIX + sum(BRANCHES)
    query, key, value, towards = (
        torch.randn(heads, tokens, 16, generator=generator).requires_grad_()
        for heads in (4, key_heads, key_heads, 4)
    )
    out = layout.attend(0, query, key, value, scoring)
    loss = (out * towards.detach().transpose(0, 1)).sum()
    inputs = [query, key, value]
    if scoring.sinks is not None:
        inputs.append(scoring.sinks)
    results = [out.detach(), *torch.autograd.grad(loss, inputs)]
    return [result / result.abs().max() for result in results]


def check_equals_dense(layout: Any, scoring: Scoring, key_heads: int = 2) -> None:
    """Fails if the layout's attention or its gradient differs from that of `TreeLayout`."""
    dense = TreeLayout(PREFIX, BRANCHES)
    assert torch.equal(layout.positions, dense.positions)
    results = values_and_gradients(layout, scoring, key_heads)
    expected = values_and_gradients(dense, scoring, key_heads)
    for own, theirs in zip(results, expected, strict=True):
        torch.testing.assert_close(own, theirs, rtol=0, atol=1e-5)
