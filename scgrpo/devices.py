"""The device and the number type that a run computes with."""

from __future__ import annotations

from pathlib import Path

import torch

from scgrpo.config import TrainConfig
from scgrpo.models.load import default_device, default_dtype

__all__ = ["device_of", "dtype_of", "unused_gpu"]

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


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


def unused_gpu(config: TrainConfig) -> str:
    """Why `device=auto` means the CPU although there is an NVIDIA GPU; empty if it does not."""
    if config.device != "auto" or device_of(config).type != "cpu":
        return ""
    if not NVIDIA_DRIVER.exists():
        return ""
    built_for = torch.version.cuda or "no CUDA"
    return (
        "this machine has an NVIDIA GPU that torch cannot use, so device=auto means the CPU: torch "
        f"{torch.__version__} was built for {built_for}; its driver may be older (nvidia-smi), "
        "then install a build for an older CUDA from https://download.pytorch.org/whl/"
    )
