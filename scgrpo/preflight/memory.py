"""How much memory a model takes while it samples and while it trains, at full budgets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from scgrpo.config import TrainConfig
from scgrpo.devices import dtype_of
from scgrpo.update import PolicyUpdate

__all__ = [
    "Size",
    "available_memory_mib",
    "model_size",
    "peak_memory_mib",
    "sampling_memory_mib",
]

MEMORY_INFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Size:
    """A model, as far as its cost goes.

    | field | meaning |
    |---|---|
    | parameters | all of them |
    | trained | those that are trained |
    | layers, hidden, inner | depth, width, and width inside the feed-forward part |
    | kept | elements of the key-value cache for one token |
    """

    parameters: int
    trained: int
    layers: int
    hidden: int
    inner: int
    kept: int


def model_size(about: PretrainedConfig, lora_rank: int = 0) -> Size:
    """The size of the model that a configuration describes, with adapters of that rank.

    It is built without memory for its weights.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(about)
    total = sum(weight.numel() for weight in model.parameters())
    adapters = 0
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            adapters += lora_rank * (module.in_features + module.out_features)

    # Layers may be of unlike width: of the feed-forward parts the widest counts.
    layers = list(about.get_text_config(decoder=True).per_layer_config)
    hidden = layers[0].hidden_size
    widths = [_largest(getattr(layer, "intermediate_size", None)) for layer in layers]
    return Size(
        parameters=total,
        trained=adapters if lora_rank else total,
        layers=len(layers),
        hidden=hidden,
        inner=max(widths) or 4 * hidden,
        kept=sum(map(_cached_by_a_layer, layers)),
    )


def peak_memory_mib(config: TrainConfig, size: Size) -> float:
    """Weights, masters, optimizer and gradient, cache, and what backward keeps, at full budgets."""
    limits = config.limits
    width = torch.empty((), dtype=dtype_of(config)).element_size()
    episodes = config.tasks_per_step * config.group_size
    weights = size.parameters * width

    # The gradient in fp32, a master where the weight is not fp32, and Adam's two moments.
    gradient = 4 if width == 4 else 8
    moments = 2 if config.optimizer == "adamw_8bit" else 8
    trained = size.trained * (gradient + moments)

    tokens = episodes * limits.episode_tokens
    cache = tokens * size.kept * width

    # Larger batches than the graph's budget are computed again, pack by pack.
    reference_tokens = episodes * config.reference.tokens
    graph_budget = PolicyUpdate.cached_forward_tokens
    graph_budget += config.max_tokens_per_pack
    graph_tokens = min(tokens + reference_tokens, graph_budget)

    # What a layer keeps of a token: norms, projections and residuals, and the feed-forward part.
    attention = 10 * size.hidden
    feed_forward = 6 * size.inner
    of_layers = size.layers * (attention + feed_forward)
    if config.activation_checkpointing:
        # The layers' inputs, and all of the layer that is computed again.
        of_layers = size.layers * size.hidden + attention + feed_forward
    backward = graph_tokens * of_layers * width
    return (weights + trained + cache + backward) / 2**20


def sampling_memory_mib(config: TrainConfig, size: Size) -> float:
    """Weights, and the cache of a step's episodes at their full budget."""
    width = torch.empty((), dtype=dtype_of(config)).element_size()
    episodes = config.tasks_per_step * config.group_size
    cache = episodes * config.limits.episode_tokens * size.kept
    return (size.parameters + cache) * width / 2**20


def available_memory_mib(device: torch.device) -> float:
    """What is free on the device now, or of the machine's memory without a GPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free / 2**20
    for line in MEMORY_INFO.read_text().splitlines():
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            return int(amount.split()[0]) / 1024
    raise ValueError(f"{MEMORY_INFO} does not say how much memory is available")


def _cached_by_a_layer(layer: PretrainedConfig) -> int:
    """Elements of the key-value cache for one token; 0 for a model without attention."""
    heads = _largest(getattr(layer, "num_attention_heads", None))
    if not heads:
        return 0
    # Not every config has these two; their absence means one key-value head for each head.
    width = getattr(layer, "head_dim", None) or layer.hidden_size // heads
    groups = _largest(getattr(layer, "num_key_value_heads", None)) or heads
    return 2 * groups * width


def _largest(value: Any) -> int:
    """A number that may differ from layer to layer, at its largest; 0 if there is none."""
    values = value if isinstance(value, list | tuple) else [value]
    return max((number or 0 for number in values), default=0)
