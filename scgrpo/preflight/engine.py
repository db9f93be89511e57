"""Which engine `engine.kind=auto` means on this machine."""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib.util import find_spec

from scgrpo.config import TrainConfig
from scgrpo.devices import device_of
from scgrpo.models.sources.folders import is_adapter, resolve_model

__all__ = ["with_engine"]

logger = logging.getLogger(__name__)


def with_engine(config: TrainConfig, processes: int = 1) -> TrainConfig:
    """The settings with the engine that `auto` means here; others as they are.

    vLLM on a GPU if it is installed: in the process, or with several processes a server next to
    each. The model itself where vLLM cannot be used: without a GPU, for a model that is an adapter,
    and with `ahead`, for which there is no room on the GPUs that learn.
    """
    if config.engine.kind != "auto":
        return config
    kind = "vllm" if _can_use_vllm(config) else "hf"
    engine = replace(config.engine, kind=kind)
    if kind == "vllm":
        if processes > 1:
            engine = replace(engine, kind="vllm_server", place="colocated")
        logger.info(
            "engine: vLLM, which is installed here; engine.kind=hf lets the model itself sample"
        )
    return replace(config, engine=engine)


def _can_use_vllm(config: TrainConfig) -> bool:
    if config.ahead or find_spec("vllm") is None:
        return False
    return device_of(config).type == "cuda" and not is_adapter(
        resolve_model(config.model)
    )
