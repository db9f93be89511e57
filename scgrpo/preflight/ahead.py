"""Whether episodes can be played while the model learns (`ahead`)."""

from __future__ import annotations

from pathlib import Path

from scgrpo.config import TrainConfig
from scgrpo.models.load import load_config
from scgrpo.preflight.positions import rotary_scalings

__all__ = ["check_ahead"]

CHANGED_BY_READING = ("dynamic", "longrope")
"""Rotary positions whose frequencies a forward pass sets in the model, by its longest input."""


def check_ahead(config: TrainConfig, folder: Path, processes: int) -> None:
    """Raises ValueError if `ahead` cannot work with the model in `folder`, or so many processes.

    With engine.kind=hf the engine reads the model while the update does, so that nothing may change
    by reading it, and no other process may wait for it.
    """
    if not config.ahead or not config.engine.samples_itself:
        return
    if processes > 1:
        raise ValueError(
            f"ahead={config.ahead} with engine.kind=hf works in one process, got {processes}; use "
            "ahead=0, one process, or engine.kind=vllm_server"
        )
    for scaling in rotary_scalings(load_config(folder)):
        kind = scaling.get("rope_type")
        if kind in CHANGED_BY_READING:
            raise ValueError(
                f"ahead={config.ahead} reads {config.model} twice at the same time, and its {kind} "
                "rotary positions change with what is read; use ahead=0"
            )
