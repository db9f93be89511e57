"""Which device `auto` means, and a word about a GPU that is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from scgrpo import devices
from scgrpo.config import TrainConfig


@pytest.mark.parametrize(("device", "is_told"), [("auto", True), ("cpu", False)])
def test_a_gpu_that_torch_cannot_use_is_told(
    monkeypatch, tmp_path: Path, device: str, is_told: bool
):
    config = TrainConfig(device=device)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(devices, "NVIDIA_DRIVER", tmp_path / "none")
    assert not devices.unused_gpu(config)
    (tmp_path / "version").touch()
    monkeypatch.setattr(devices, "NVIDIA_DRIVER", tmp_path / "version")
    assert ("torch cannot use" in devices.unused_gpu(config)) == is_told
