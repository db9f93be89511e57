"""The device and the number type that a run computes with."""

from __future__ import annotations

import torch

from scgrpo.config import TrainConfig
from scgrpo.models.load import default_device, default_dtype

__all__ = ["device_of", "dtype_of"]


def device_of(config: TrainConfig) -> torch.device:
    """The device that the setting `device` means here. Raises ValueError if there is none."""
    if config.device == "auto":
        return default_device()
    try:
        return torch.empty(0, device=config.device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        message = f"device={config.device} cannot be used here: {reason}"
        raise ValueError(message) from error


def dtype_of(config: TrainConfig) -> torch.dtype:
    """The type of the forward pass that the setting `dtype` means here."""
    if config.dtype == "auto":
        return default_dtype(device_of(config))
    return torch.bfloat16 if config.dtype == "bfloat16" else torch.float32
