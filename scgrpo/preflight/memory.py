"""How much memory a model takes while it samples and while it trains, at full budgets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.distributed.ranks import Ranks, processes_of_node
from scgrpo.models.layers.lean import has_lean_layers
from scgrpo.models.load import load_config
from scgrpo.models.scoring import CHUNK
from scgrpo.models.sources.folders import resolve_model
from scgrpo.update import PolicyUpdate

__all__ = [
    "Phases",
    "Size",
    "available_memory_mib",
    "check_warm_start_memory",
    "engine_memory_mib",
    "engine_memory_share",
    "memory_share",
    "model_size",
    "peak_memory_mib",
    "phases",
    "sampling_memory_mib",
    "slots_that_fit",
]

MEMORY_INFO = Path("/proc/meminfo")
ENGINE_MIB = 2048
"""Of an engine besides weights and cache: its context, graphs and workspaces."""
CACHE_SHARE = 0.8
"""Of what is free, for the cache; a forward pass needs room as well."""
RESERVE = 0.04
"""Of a GPU, for what its allocators cannot use."""
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
    | outside | parameters that lie outside the layers: embedding and output layer |
    """

    parameters: int
    trained: int
    layers: int
    hidden: int
    inner: int
    vocabulary: int
    kept: int
    lean: bool
    outside: int = 0


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
        outside=total - _inside_layers(model),
    )


@dataclass(frozen=True)
class Phases:
    """What one process of a run takes, in MiB at full budgets.

    | field | meaning |
    |---|---|
    | held | in both phases: weights, masters and the optimizer's moments, models that are not |
    | | trained; libraries on a CPU |
    | sampling | besides: the cache of the episodes, if the model itself samples them |
    | learning | besides: gradient, logits, and what the backward pass keeps |
    | both | the phases run at the same time |
    """

    held: float
    sampling: float
    learning: float
    both: bool

    @property
    def peak(self) -> float:
        """The most at any time."""
        if self.both:
            return self.held + self.sampling + self.learning
        return self.held + max(self.sampling, self.learning)


def phases(
    config: TrainConfig, size: Size, *, processes: int = 1, sharded: bool = False
) -> Phases:
    """What each of `processes` takes; `sharded` ones hold a part of the layers each (FSDP).

    Of sharded layers a process holds its part in fp32, which is its own master. While the model
    samples, the layers are complete on each. What `optimizer_offload` moves to the CPU counts only
    if that is the device.
    """
    width = _width(config)
    # A master in fp32 where the weight is not, and Adam's two moments.
    offload = config.optimizer_offload
    master = 0 if width == 4 and not offload else 4
    moments = 2 if config.optimizer == "adamw_8bit" else 8
    if offload and not _on_cpu(config):
        master = moments = 0
    held = size.parameters * width + size.trained * (master + moments)
    gradient = size.trained * 4
    gathered = 0
    # The frozen model of the KL term has no master, and is cut like the one that is trained.
    has_reference = config.kl_coefficient > 0 and not config.lora.rank
    reference = size.parameters * width if has_reference else 0
    if sharded:
        by_node = config.mesh == "by_node"
        parts = min(processes, processes_of_node()) if by_node else processes
        # The part in fp32 is its own master, unless that lies on the CPU.
        copies = master if offload else 0
        layers = size.parameters - size.outside
        trained = layers if size.trained == size.parameters else size.trained
        frozen = 0 if size.trained == size.parameters else layers * width
        outside = size.outside * width
        if size.trained == size.parameters:
            outside += size.outside * (master + moments) / parts
        held = (trained * (4 + copies + moments) + frozen) / parts + outside
        if has_reference:
            reference = (layers / parts + size.outside) * width
        gradient = trained * 4 / parts + (size.trained - trained) * 4
        gathered = layers * width

    # One chunk of logits: as they are, in fp32, and their gradient.
    logits = CHUNK * size.vocabulary * (2 * width + 8)
    graph = _graph_tokens(config, processes) * _kept_by_a_token(config, size)
    # A layer at a time is complete in a pass, and the next one on its way.
    passing = 2 * gathered / max(1, size.layers)
    samples_itself = config.engine.samples_itself
    sampling = _sampling(config, size, processes) + gathered if samples_itself else 0
    return Phases(
        held=_process_mib(config) + (held + reference + _teacher(config)) / 2**20,
        sampling=sampling / 2**20,
        learning=(gradient + logits + graph + passing) / 2**20,
        both=config.ahead > 0 and samples_itself,
    )


def peak_memory_mib(config: TrainConfig, size: Size) -> float:
    """What training takes in one process: the larger of a step's two phases, at full budgets.

    With `ahead` the model does both at once.
    """
    return phases(config, size).peak


def sampling_memory_mib(config: TrainConfig, size: Size) -> float:
    """Weights, and the cache of a step's episodes at their full budget."""
    weights = size.parameters * _width(config)
    return _process_mib(config) + (weights + _sampling(config, size)) / 2**20


def slots_that_fit(config: TrainConfig, size: Size, wanted: int) -> int:
    """How many of `wanted` episodes' caches fit next to a model that is loaded; at least 1."""
    cache = config.limits.episode_tokens * size.kept * _width(config) / 2**20
    free = available_memory_mib(device_of(config)) * CACHE_SHARE
    return max(1, min(wanted, int(free / max(cache, 1e-6))))


def check_warm_start_memory(config: TrainConfig, size: Size) -> None:
    """Raises ValueError if a GPU has no room for the warm start, which one process takes alone.

    Weights, masters, moments and gradient; what the backward pass keeps comes on top.
    """
    if _on_cpu(config):
        return
    alone = replace(config, kl_coefficient=0.0, teacher="")
    needed = phases(alone, size).held + size.trained * 4 / 2**20
    free = available_memory_mib(device_of(config))
    if needed > free:
        raise ValueError(
            f"the warm start needs {needed / 1024:.0f} GiB on one GPU, and {free / 1024:.0f} are "
            "free: train adapters (lora.rank), offload the optimizer (optimizer_offload=true), or "
            "leave it out (warm_start.mode=never)"
        )


def engine_memory_mib(config: TrainConfig, size: Size, engines: int = 1) -> float:
    """What each of `engines` takes that shares a step's episodes: weights, and their full cache."""
    width = _width(config)
    episodes = -(-config.tasks_per_step * config.group_size // engines)
    cache = episodes * config.limits.episode_tokens * size.kept * width
    return ENGINE_MIB + (size.parameters * width + cache) / 2**20


def engine_memory_share(config: TrainConfig, model: Path, ranks: Ranks) -> float | None:
    """The share of its GPU that an engine next to a training process may take; None on a CPU.

    What it needs, and at most what the process leaves: with engines that sleep while a step learns
    all but what it always holds. Raises ValueError if the engine does not fit then.
    """
    device = device_of(config)
    if device.type != "cuda":
        return None
    size = model_size(load_config(model), config.lora.rank)
    total_mib = torch.cuda.mem_get_info(device)[1] / 2**20
    return memory_share(config, size, total_mib, ranks.count, ranks.sharded)


def memory_share(
    config: TrainConfig, size: Size, total_mib: float, processes: int, sharded: bool
) -> float:
    """`engine_memory_share` on a GPU of `total_mib`."""
    memory = phases(config, size, processes=processes, sharded=sharded)
    in_use = memory.held if config.engine.sleeps else memory.peak
    left = total_mib * (1 - RESERVE) - in_use
    needed = engine_memory_mib(config, size, processes)
    least = ENGINE_MIB + size.parameters * _width(config) / 2**20
    if left < least * 1.05:
        raise ValueError(
            f"vLLM needs {least / 1024:.1f} GiB for the weights alone, and the trainer leaves "
            f"{max(0.0, left) / 1024:.1f} of {total_mib / 1024:.1f} GiB: share the model over more "
            "processes (FSDP), train adapters (lora.rank), or use engine.place=apart"
        )
    return min(needed, left) / total_mib


def _sampling(config: TrainConfig, size: Size, processes: int = 1) -> int:
    """Bytes of the cache, and on a CPU in bf16 of the weights as its products read them."""
    width = _width(config)
    episodes = -(-config.tasks_per_step * config.group_size // processes)
    episodes = min(episodes, config.threads(processes))
    cache = episodes * config.limits.episode_tokens * size.kept * width
    prepacked = size.parameters * width if _on_cpu(config) and width == 2 else 0
    return cache + prepacked


def _teacher(config: TrainConfig) -> int:
    """Bytes of the other model that `algo` learns from, which every process holds whole."""
    if not config.teacher:
        return 0
    about = load_config(resolve_model(config.teacher))
    return model_size(about).parameters * _width(config)


def _graph_tokens(config: TrainConfig, processes: int = 1) -> int:
    """Tokens whose graph is alive at once; larger batches are computed again, pack by pack."""
    episodes = -(-config.tasks_per_step * config.group_size // processes)
    tokens = episodes * (config.limits.episode_tokens + config.shown_reference.tokens)
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


def _inside_layers(model: torch.nn.Module) -> int:
    """Parameters of the decoder layers; of a model without such layers all."""
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    inside = {id(p): p.numel() for layer in layers for p in layer.parameters()}
    return sum(inside.values()) or sum(p.numel() for p in model.parameters())


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
