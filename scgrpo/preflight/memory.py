"""How much memory a model takes while it samples and while it trains, at full budgets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.layers.lean import has_lean_layers
from scgrpo.models.scoring import CHUNK
from scgrpo.update import PolicyUpdate

__all__ = [
    "Size",
    "available_memory_mib",
    "model_size",
    "peak_memory_mib",
    "sampling_memory_mib",
]

MEMORY_INFO = Path("/proc/meminfo")
LIBRARIES_MIB = 450
"""Resident memory of a process that has imported PyTorch and transformers."""


@dataclass(frozen=True)
class Size:
    """A model, as far as its cost goes.

    | field | meaning |
    |---|---|
    | parameters | all of them |
    | trained | those that are trained |
    | layers, hidden, inner | depth, width, and width inside the feed-forward part |
    | vocabulary | outputs of the last layer |
    | kept | elements of the key-value cache for one token |
    | lean | its layers keep less for the backward pass |
    """

    parameters: int
    trained: int
    layers: int
    hidden: int
    inner: int
    vocabulary: int
    kept: int
    lean: bool


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
        vocabulary=about.get_text_config(decoder=True).vocab_size,
        lean=has_lean_layers(model),
        kept=sum(map(_cached_by_a_layer, layers)),
    )


def peak_memory_mib(config: TrainConfig, size: Size) -> float:
    """What training takes: the larger of a step's two phases, at full budgets.

    While it samples a model has its cache, while it learns what the backward pass keeps; weights,
    masters and the optimizer's moments it has in both. With `ahead=1` it does both at once.
    """
    width = _width(config)
    # A master in fp32 where the weight is not, and Adam's two moments.
    master = 0 if width == 4 else 4
    moments = 2 if config.optimizer == "adamw_8bit" else 8
    held = size.parameters * width + size.trained * (master + moments)

    # The gradient in fp32, and one chunk of logits: as they are, in fp32, and their gradient.
    gradient = size.trained * 4
    logits = CHUNK * size.vocabulary * (2 * width + 8)
    learning = (
        gradient + logits + _graph_tokens(config) * _kept_by_a_token(config, size)
    )
    sampling = _sampling(config, size)
    phases = learning + sampling if config.ahead else max(learning, sampling)
    return _process_mib(config) + (held + phases) / 2**20


def sampling_memory_mib(config: TrainConfig, size: Size) -> float:
    """Weights, and the cache of a step's episodes at their full budget."""
    weights = size.parameters * _width(config)
    return _process_mib(config) + (weights + _sampling(config, size)) / 2**20


def _sampling(config: TrainConfig, size: Size) -> int:
    """Bytes of the cache, and on a CPU in bf16 of the weights as its products read them."""
    width = _width(config)
    episodes = config.tasks_per_step * config.group_size
    cache = episodes * config.limits.episode_tokens * size.kept * width
    prepacked = size.parameters * width if _on_cpu(config) and width == 2 else 0
    return cache + prepacked


def _graph_tokens(config: TrainConfig) -> int:
    """Tokens whose graph is alive at once; larger batches are computed again, pack by pack."""
    episodes = config.tasks_per_step * config.group_size
    tokens = episodes * (config.limits.episode_tokens + config.reference.tokens)
    budget = PolicyUpdate.cached_forward_tokens + config.max_tokens_per_pack
    return min(tokens, budget)


def _kept_by_a_token(config: TrainConfig, size: Size) -> int:
    """Bytes that the backward pass needs of a token, in all layers."""
    # Norms, projections and residuals, and the feed-forward part.
    layer = 15 * size.hidden + 4 * size.inner
    if size.lean:
        layer = 11 * size.hidden + 2 * size.inner
    layers = size.layers * layer
    if config.activation_checkpointing:
        # The layers' inputs, and all of the layer that is computed again.
        layers = size.layers * size.hidden + layer
    return layers * _width(config)


def _process_mib(config: TrainConfig) -> float:
    """Interpreter and libraries, where they share the memory."""
    return LIBRARIES_MIB if _on_cpu(config) else 0.0


def _on_cpu(config: TrainConfig) -> bool:
    return device_of(config).type == "cpu"


def _width(config: TrainConfig) -> int:
    """Bytes of a weight."""
    return torch.empty((), dtype=dtype_of(config)).element_size()


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
