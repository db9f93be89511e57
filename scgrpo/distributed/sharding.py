"""FSDP: every process keeps a part of each decoder layer, of its gradient and of its moments.

PyTorch's `fully_shard` gathers a layer as a pass reaches it, so all ranks have to make equally many
passes (see `BatchForward.packs`). Sampling cannot keep step, since every episode has a length of
its own: for it the layers are gathered once and stay complete (`full_parameters`). Embeddings,
output layer and last norm, which lie outside the layers, are complete on every rank in the model's
type; their masters, gradients and moments are shared out by the optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_layers import GradientCheckpointingLayer

from scgrpo.distributed.mesh import ranks_on_mesh
from scgrpo.distributed.ranks import Ranks, is_main_process
from scgrpo.models.decoder import body_of, transformers_model

__all__ = [
    "cpu_state_dict",
    "full_parameters",
    "full_tensor",
    "is_sharded",
    "local_part",
    "shard",
    "stream_weights",
]

ADAPTER = "default"
"""PEFT's name for the one adapter of a model."""


def shard(model: nn.Module, ranks: Ranks) -> None:
    """Leaves each rank its part of every decoder layer; what is trained of it becomes fp32.

    Parts lie on `ranks.mesh`: over all ranks, or with a copy on each node.

    It still computes in the model's own type. Gradients are summed over the ranks, in fp32. Does
    nothing for ranks that are not sharded. Raises ValueError for a model without such layers.
    """
    if not ranks.sharded:
        return
    layers = [
        part for part in model.modules() if isinstance(part, GradientCheckpointingLayer)
    ]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no decoder layers to shard: launch without it"
        )

    mesh = ranks.mesh or ranks_on_mesh(ranks).mesh
    assert mesh is not None
    compute_dtype = next(layers[0].parameters()).dtype
    types = MixedPrecisionPolicy(
        param_dtype=compute_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )

    for layer in layers:
        # The optimizer steps these parts themselves, and a step of 2e-5 is lost in bf16.
        for parameter in layer.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        parts = fully_shard(
            layer, mesh=mesh, mp_policy=types, reshard_after_forward=True
        )
        # The loss is a plain sum over the rows of all ranks. Gloo has no scaled sum.
        parts.set_gradient_divide_factor(1.0)
        parts.set_force_sum_reduction_for_comms(True)

    # Without a root above them each layer would be one: with streams of its own, and a gradient
    # buffer that lives to the end of the backward pass. A tied head outside the body must go on
    # sharing the embedding's weight, so the root itself shards nothing.
    body = body_of(transformers_model(model))
    outside = {part for part in body.parameters() if not is_sharded(part)}
    fully_shard(body, mesh=mesh, mp_policy=types, ignored_params=outside)


@contextmanager
def full_parameters(model: nn.Module) -> Iterator[None]:
    """Sharded layers are complete on every rank in the block; forward passes need no other rank."""
    parts = [part for part in model.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


def is_sharded(parameter: Tensor) -> bool:
    """Whether this rank holds a part of the parameter."""
    return isinstance(parameter, DTensor)


def local_part(value: Tensor) -> Tensor:
    """This rank's part of a sharded value, or all of another one. It shares the memory."""
    return value.to_local() if isinstance(value, DTensor) else value


def full_tensor(parameter: Tensor, part: Tensor) -> Tensor:
    """The complete value that `part` is this rank's part of, sharded like the parameter.

    All ranks must call it.
    """
    if not isinstance(parameter, DTensor):
        return part
    value = DTensor.from_local(
        part,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )
    return value.full_tensor()


@torch.no_grad()
def cpu_state_dict(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """A copy of the model's state on rank 0's CPU, sharded weights complete and in `dtype`.

    Of a `PeftModel` the adapter alone. All ranks must call it; the others get nothing, and hold one
    complete weight at a time.
    """
    is_adapter = isinstance(model, PeftModel)
    copies: dict[str, Tensor] = {}
    # Tied weights stay one, as those who save them expect.
    by_id: dict[int, Tensor] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if is_adapter and "lora_" not in name:
            continue
        whole = _whole(value, dtype) if is_sharded(value) else value.detach()
        if not is_main_process():
            continue
        if id(value) not in by_id:
            by_id[id(value)] = whole.to("cpu", copy=not is_sharded(value))
        copies[name] = by_id[id(value)]
    return copies


@torch.no_grad()
def stream_weights(
    model: PreTrainedModel, dtype: torch.dtype, *, merged: bool = False
) -> Iterator[tuple[str, Tensor]]:
    """Every weight of a model, sharded or not: whole, one after the other, on rank 0 alone.

    All ranks must iterate; the others get nothing, at the pace of rank 0. Names are those of a
    Hugging Face folder, tied weights come once. Weights have `dtype` and lie on the model's device;
    buffers keep their type. Of a `PeftModel` the adapter alone comes, under the names of its file;
    with `merged` the base comes with the adapter added in fp32. One weight is alive at a time
    besides the model: what is yielded must be copied to be kept.

    Raises ValueError for a model whose files join weights that it holds apart.
    """
    is_adapter = isinstance(model, PeftModel) and not merged
    weights = _adapter_weights(model) if is_adapter else _base_weights(model, dtype)
    inner = transformers_model(model)
    if not is_adapter:
        _check_one_by_one(inner)

    for name, value in weights:
        weight = _whole(value, dtype)
        if not is_main_process():
            continue
        if is_adapter:
            yield name, weight
        else:
            # Experts lie in one weight here and in a weight for each in the files.
            yield from revert_weight_conversion(inner, {name: weight}).items()


def _adapter_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of an adapter by their names in its file."""
    for name, value in model.state_dict(keep_vars=True).items():
        if "lora_" in name:
            yield name.replace(f".{ADAPTER}.", "."), value


def _base_weights(model: nn.Module, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """The model's weights; those that have an adapter are summed with it, on every rank."""
    unsaved = getattr(model, "_keys_to_ignore_on_save", None) or ()
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if "lora_" in name or name in unsaved or id(value) in seen:
            continue
        seen.add(id(value))
        plain_name = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
        if name.endswith(".base_layer.weight"):
            layer = model.get_submodule(name.removesuffix(".base_layer.weight"))
            value = _adapted_weight(layer, value, dtype)
        yield plain_name, value


def _adapted_weight(layer: Any, base: Tensor, dtype: torch.dtype) -> Tensor:
    """A linear layer's weight with its adapter, summed in fp32. All ranks must call it."""
    a = _whole(layer.lora_A[ADAPTER].weight, torch.float32)
    b = _whole(layer.lora_B[ADAPTER].weight, torch.float32)
    weight = (b @ a) * layer.scaling[ADAPTER]
    if layer.fan_in_fan_out:
        weight = weight.T
    return weight.add_(_whole(base, base.dtype)).to(dtype)


def _whole(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight in `dtype`, or a buffer as it is. All ranks must call it if it is sharded."""
    part = local_part(value.detach())
    if isinstance(value, nn.Parameter):
        # Before it is gathered: what is sent and what is alive is smaller.
        part = part.to(dtype)
    return full_tensor(value, part)


def _check_one_by_one(model: PreTrainedModel) -> None:
    """Raises ValueError if a weight of the model's files is made of several of its own."""
    for conversion in getattr(model, "_weight_conversions", None) or ():
        joined = getattr(conversion.reverse_transform(), "source_patterns", [])
        if len(joined) > 1:
            raise ValueError(
                f"{type(model).__name__}: its files join {', '.join(joined)}, which cannot be "
                "handed out one by one; train it without FSDP"
            )
