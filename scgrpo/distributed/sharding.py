"""FSDP: every process keeps a part of each decoder layer, of its gradient and of its moments.

PyTorch's `fully_shard` gathers a layer as a pass reaches it, so all ranks have to make equally many
passes (see `BatchForward.packs`). Sampling cannot keep step, since every episode has a length of
its own: for it the layers are gathered once and stay complete (`full_parameters`). Embeddings and
output layer, which lie outside the layers, are complete on every rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from scgrpo.distributed.ranks import Ranks

__all__ = [
    "full_parameters",
    "full_state_dict",
    "full_tensor",
    "is_sharded",
    "load_full_state_dict",
    "local_part",
    "shard",
    "shard_of",
]


def shard(model: nn.Module, ranks: Ranks) -> None:
    """Leaves each rank its part of every decoder layer; what is trained of it becomes fp32.

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

    kind = "cpu" if ranks.device is None else ranks.device.type
    mesh = init_device_mesh(kind, (ranks.count,))
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


@contextmanager
def full_parameters(model: nn.Module) -> Iterator[None]:
    """Sharded layers are complete on every rank in the block; forward passes need no other rank."""
    layers = [part for part in model.modules() if isinstance(part, FSDPModule)]
    for layer in layers:
        layer.set_reshard_after_forward(False)
        layer.unshard()
    try:
        yield
    finally:
        for layer in layers:
            layer.set_reshard_after_forward(True)
            layer.reshard()


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


def shard_of(parameter: Tensor, value: Tensor) -> Tensor:
    """This rank's part of a complete value, sharded like the parameter."""
    if not isinstance(parameter, DTensor):
        return value
    mesh, placements = parameter.device_mesh, parameter.placements
    return distribute_tensor(value, mesh, placements, src_data_rank=None).to_local()


def full_state_dict(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor] | None:
    """The complete weights of a sharded model by name, None for another. All ranks must call it."""
    weights = dict(model.state_dict())
    if not any(map(is_sharded, weights.values())):
        return None
    for name, value in weights.items():
        if isinstance(value, DTensor):
            weights[name] = value.full_tensor().to(dtype)
    return weights


@torch.no_grad()
def load_full_state_dict(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Puts complete weights into a model, sharded or not."""
    state = model.state_dict()
    if not any(map(is_sharded, state.values())):
        model.load_state_dict(weights)
        return
    for name, value in state.items():
        part = local_part(value)
        part.copy_(shard_of(value, weights[name].to(part)))
