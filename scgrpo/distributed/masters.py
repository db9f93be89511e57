"""fp32 masters of a model's weights, with their gradients, however ranks hold the weights.

A master lies where it is stepped, which may be the CPU of a model on a GPU. Its gradient is added
up in fp32 next to the weight.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from scgrpo.distributed.ranks import Ranks
from scgrpo.distributed.sharding import is_sharded, local_part

__all__ = ["Master", "ReplicatedMaster", "SharedMaster", "master_of"]


class Master(Protocol):
    """What an optimizer steps in place of a parameter.

    | attribute | meaning |
    |---|---|
    | parameter | what the model computes with |
    | weight | fp32: the parameter itself, a copy, or this rank's rows of one of them |
    """

    parameter: nn.Parameter
    weight: nn.Parameter

    def share_gradient(self) -> None:
        """Hands what came since to the ranks that own it. All ranks must call it."""
        ...

    def take_gradient(self) -> Tensor | None:
        """The gradient of `weight` in fp32 on the parameter's device; it is forgotten here."""
        ...

    def publish(self) -> None:
        """Rounds the weight into the parameter. All ranks must call it."""
        ...


def master_of(parameter: nn.Parameter, ranks: Ranks, *, offload: bool) -> Master:
    """The master of a parameter; with `offload` it is a copy on the CPU."""
    if is_sharded(parameter):
        return _ShardedMaster(parameter, offload)
    if ranks.sharded and parameter.dim():
        return SharedMaster(parameter, ranks, offload)
    return ReplicatedMaster(parameter, offload)


class ReplicatedMaster:
    """Of a parameter that every rank has and steps; an fp32 one is its own master.

    Its gradient is this rank's part of the sum over the ranks.
    """

    def __init__(self, parameter: nn.Parameter, offload: bool) -> None:
        self.parameter = self.weight = parameter
        self._gradient: Tensor | None = None
        if offload or parameter.dtype != torch.float32:
            self.weight = _copy(parameter.detach(), offload)
            parameter.register_post_accumulate_grad_hook(self._add_gradient)

    def _add_gradient(self, parameter: Tensor) -> None:
        """Called by autograd once the gradient of the parameter is complete."""
        self._gradient = _sum_with_fresh(self._gradient, parameter)

    def share_gradient(self) -> None:
        """See `Master`: the optimizer sums all of these at once."""

    def take_gradient(self) -> Tensor | None:
        """See `Master`."""
        if self.weight is self.parameter:
            gradient, self.parameter.grad = self.parameter.grad, None
        else:
            gradient, self._gradient = self._gradient, None
        return gradient

    @torch.no_grad()
    def publish(self) -> None:
        """See `Master`."""
        if self.weight is not self.parameter:
            self.parameter.copy_(self.weight)


class _ShardedMaster:
    """Of a parameter that FSDP has cut: this rank's rows, whose gradient FSDP sums itself."""

    def __init__(self, parameter: nn.Parameter, offload: bool) -> None:
        self.parameter = parameter
        rows = local_part(parameter.detach())
        self._offload = offload
        self.weight = _copy(rows, offload) if offload else nn.Parameter(rows)

    def share_gradient(self) -> None:
        """See `Master`."""

    def take_gradient(self) -> Tensor | None:
        """See `Master`."""
        gradient, self.parameter.grad = self.parameter.grad, None
        return None if gradient is None else local_part(gradient)

    @torch.no_grad()
    def publish(self) -> None:
        """See `Master`."""
        if self._offload:
            local_part(self.parameter.detach()).copy_(self.weight)


class SharedMaster:
    """Of a parameter outside a sharded model's layers: this rank's rows, as FSDP deals them.

    Every rank has the complete weight in the model's type, because the output layer and a tied
    embedding are called outside any FSDP module; all else that training needs of it, in fp32, is
    shared out (as in ZeRO-2, arXiv:1910.02054).
    """

    def __init__(
        self, parameter: nn.Parameter, ranks: Ranks, offload: bool = False
    ) -> None:
        self.parameter = parameter
        self._ranks = ranks
        self._chunk = -(-len(parameter) // ranks.parts)
        rows = ranks.rows(len(parameter))
        own = parameter.detach()[rows.start : rows.stop]
        self.weight = _copy(own, offload)
        self._whole: Tensor | None = None
        self._gradient: Tensor | None = None
        parameter.register_post_accumulate_grad_hook(self._add_gradient)

    def _add_gradient(self, parameter: Tensor) -> None:
        """Called by autograd once the gradient of the parameter is complete."""
        self._whole = _sum_with_fresh(self._whole, parameter)

    def share_gradient(self) -> None:
        """See `Master`. Either all ranks have a gradient or none has: they make equal passes."""
        if self._whole is None:
            return
        # Freed as soon as it was sent.
        whole, self._whole = self._whole, None
        whole = _with_zero_rows(whole, self._chunk * self._ranks.parts)
        part = whole.new_empty(self._chunk, *whole.shape[1:])
        self._ranks.reduce_scatter_(part, whole)
        own = part[: len(self.weight)]
        self._gradient = own if self._gradient is None else self._gradient.add_(own)

    def take_gradient(self) -> Tensor | None:
        """See `Master`."""
        gradient, self._gradient = self._gradient, None
        return gradient

    @torch.no_grad()
    def publish(self) -> None:
        """See `Master`."""
        own = self.weight.detach().to(self.parameter.device, self.parameter.dtype)
        part = _with_zero_rows(own, self._chunk)
        whole = part.new_empty(self._chunk * self._ranks.parts, *part.shape[1:])
        self._ranks.all_gather_into_(whole, part)
        self.parameter.copy_(whole[: len(self.parameter)])


def _copy(value: Tensor, offload: bool) -> nn.Parameter:
    """An fp32 copy, on the CPU if it is offloaded."""
    device = torch.device("cpu") if offload else value.device
    return nn.Parameter(value.to(device, torch.float32, copy=True))


def _sum_with_fresh(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """What was added up so far and the parameter's gradient, in fp32; the latter is freed."""
    if parameter.grad is None:
        return gradient
    fresh = parameter.grad.float()
    parameter.grad = None
    return fresh if gradient is None else gradient.add_(fresh)


def _with_zero_rows(value: Tensor, rows: int) -> Tensor:
    """The value with rows of zeros behind it; the value itself if it has as many already."""
    missing = rows - len(value)
    if not missing:
        return value
    return torch.cat([value, value.new_zeros(missing, *value.shape[1:])])
