"""Adapters have their model's type, fresh and loaded."""

from __future__ import annotations

from pathlib import Path

import torch

from scgrpo.config import LoraConfig
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.training.open_model import with_adapters


def test_adapters_of_a_model_in_bf16_are_in_bf16(tmp_path: Path):
    """With FSDP they are computed so in any case, and the update must be the same without."""
    model, _ = load_model(make_tiny(tmp_path / "tiny"), dtype=torch.bfloat16)
    model = with_adapters(model, LoraConfig(rank=2))
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    model.save_pretrained(tmp_path / "adapter")

    for dtype in (torch.bfloat16, torch.float32):
        loaded, _ = load_model(tmp_path / "adapter", dtype=dtype)
        trained = [p.dtype for p in loaded.parameters() if p.requires_grad]
        assert set(trained) == {dtype}
