"""FSDP: every process keeps a part of each decoder layer, of its gradient and of its moments.

PyTorch's `fully_shard` gathers a layer as a pass reaches it, so all ranks have to make as many
passes (see `BatchForward.packs`). Sampling cannot keep step, since every episode has a length of
its own: for it the layers are full_tensor once and stay whole. What lies outside the layers,
embeddings and output layer, is whole on every rank.
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
    "full_tensor",
    "local_part",
    "is_sharded",
    "load_full_state_dict",
    "shard_of",
    "shard",
    "full_state_dict",
    "full_parameters",
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
    computed = next(layers[0].parameters()).dtype
    types = MixedPrecisionPolicy(
        param_dtype=computed, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for layer in layers:
        for parameter in layer.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        cut = fully_shard(layer, mesh=mesh, mp_policy=types, reshard_after_forward=True)
        # The loss is a plain sum over the rows of all ranks. Gloo knows no scaled sum.
        cut.set_gradient_divide_factor(1.0)
        cut.set_force_sum_reduction_for_comms(True)


@contextmanager
def full_parameters(model: nn.Module) -> Iterator[None]:
    """While it lasts, sharded layers are whole on every rank; forward passes wait for nobody."""
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
    """What this rank holds of it: its part, or all of what is not sharded. It shares the memory."""
    return value.to_local() if isinstance(value, DTensor) else value


def full_tensor(parameter: Tensor, part: Tensor) -> Tensor:
    """The whole of which `part` is this rank's, cut like the parameter. All ranks must call it."""
    if not isinstance(parameter, DTensor):
        return part
    cut = DTensor.from_local(
        part,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )
    return cut.full_tensor()


def shard_of(parameter: Tensor, value: Tensor) -> Tensor:
    """This rank's part of a value, cut like the parameter."""
    if not isinstance(parameter, DTensor):
        return value
    mesh, cuts = parameter.device_mesh, parameter.placements
    return distribute_tensor(value, mesh, cuts, src_data_rank=None).to_local()


def full_state_dict(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor] | None:
    """The whole weights of a sharded model by name, None for another. All ranks must call it."""
    found = model.state_dict()
    if not any(map(is_sharded, found.values())):
        return None
    return {
        name: value.full_tensor().to(dtype) if isinstance(value, DTensor) else value
        for name, value in found.items()
    }


@torch.no_grad()
def load_full_state_dict(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Puts whole weights into a model, sharded or not."""
    own = model.state_dict()
    if not any(map(is_sharded, own.values())):
        model.load_state_dict(weights)
        return
    for name, value in own.items():
        mine = local_part(value)
        mine.copy_(shard_of(value, weights[name].to(mine)))
