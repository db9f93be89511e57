"""Adapters of which a run could not load its own results are refused before it starts."""

from __future__ import annotations

from pathlib import Path

from scgrpo.config import TrainConfig
from scgrpo.models.sources.folders import adapter_base, is_adapter

__all__ = ["check_adapters"]


def check_adapters(folder: Path, config: TrainConfig) -> None:
    """Raises ValueError if the run cannot train on the adapter in `folder`.

    Because its base is missing, because it would get another adapter on top, or because the engine
    reads whole models alone. Does nothing for another model.
    """
    if not is_adapter(folder):
        return
    adapter_base(folder)
    merge = "merge it first: scgrpo export hf, or PEFT's merge_and_unload"
    if config.lora.rank:
        raise ValueError(
            f"model={folder} is an adapter, and lora.rank={config.lora.rank} would train another "
            f"one on top of it; {merge}, or set lora.rank=0 to train on in the adapter itself"
        )
    if config.engine.kind == "vllm":
        raise ValueError(
            f"model={folder} is an adapter, and engine.kind=vllm starts from a whole model; {merge}"
        )
