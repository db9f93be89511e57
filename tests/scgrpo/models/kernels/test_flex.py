"""FlexAttention says of a tree what the dense layout says, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import flex_attention
from torch.nn.attention.flex_attention import create_mask

from scgrpo.models.attention import Scoring
from scgrpo.models.kernels.flex import BLOCK, FlexTreeLayout
from tests.scgrpo.models.kernels.trees import BRANCHES, PREFIX, check_equals_dense

SCORINGS = {
    "plain": Scoring(0.25),
    "window": Scoring(0.25, window=40),
    "softcap": Scoring(0.25, softcap=2.0),
    "sinks": Scoring(0.25, sinks=torch.linspace(-2, 2, 4).requires_grad_()),
}


@pytest.mark.filterwarnings("ignore:flex_attention called without")
# What traces the kernel hides this one, and counts on the default filters.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.daily(2)  # each traces the kernel
@pytest.mark.parametrize("name", SCORINGS)
def test_a_tree_equals_the_dense_one(name: str, monkeypatch):
    # PyTorch has gradients on CPUs, unfused, and refuses them because they are slow.
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)
    check_equals_dense(FlexTreeLayout(PREFIX, BRANCHES), SCORINGS[name])


@pytest.mark.parametrize("window", [None, 1, 40, 128, 200])
@pytest.mark.parametrize(
    ("prefix", "branches"),
    [(PREFIX, BRANCHES), (128, [128, 256]), (1, [1]), (600, [3] * 90), (20, [700])],
)
def test_blocks_hold_what_is_visible_and_little_else(
    prefix: int, branches: list[int], window: int | None
):
    layout = FlexTreeLayout(prefix, branches)
    tokens = prefix + sum(branches)
    mask = layout._mask(window)
    assert mask.mask_mod is not None
    visible = create_mask(mask.mask_mod, 1, 1, tokens, tokens, "cpu")[0, 0]

    missing = -tokens % BLOCK
    padded = torch.nn.functional.pad(visible, (0, missing, 0, missing))
    by_block = padded.unflatten(0, (-1, BLOCK)).unflatten(2, (-1, BLOCK))
    some, every = by_block.any(3).any(1), by_block.all(3).all(1)
    partial, whole = layout._visible_blocks(window)
    # A block that is left out loses what is visible; one taken for whole shows what is not.
    assert not (some & ~(partial | whole)).any()
    # Of the last row places behind the last token are computed and dropped.
    assert not (whole & ~every)[:-1].any()
    assert not whole[-1:, -1:].any() or not missing
    # Blocks that may be seen are computed as well, which costs time alone; without a window at
    # most one for each block of queries.
    assert window is not None or (partial | whole).sum() <= some.sum() + len(some)
    assert whole.sum() >= every.sum()
    assert torch.equal(mask.to_dense()[0, 0].bool(), partial | whole)
