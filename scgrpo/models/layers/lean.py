"""Norms and feed-forward parts that keep less for the backward pass; values stay the same.

What autograd keeps of one token in a layer of Llama's is mostly an fp32 copy of each norm's input
and four widths of the feed-forward part. Both are made again from half of that in the backward
pass, by operations that cost little next to the products.
"""

from __future__ import annotations

from inspect import signature
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scgrpo.models.layers.prepacked import has_hooks

__all__ = ["MLP_PARTS", "has_lean_layers", "use_lean_layers"]

MLP_PARTS = {"gate_proj", "up_proj", "down_proj", "act_fn"}
"""Of the gated feed-forward part as Llama names them."""
TRIAL_ROWS = 3


def use_lean_layers(model: nn.Module) -> int:
    """Has the layers of the model that can do so keep less for the backward pass; how many do.

    A layer is switched only if it then gives what it gave, to the bit, on random input.
    """
    switched = 0
    for module in model.modules():
        forward = None
        if _is_norm(module):
            forward = _norm
        elif _is_gated(module):
            forward = _gated_forward
        if forward is not None and _computes(module, forward):
            module.forward = MethodType(forward, module)
            switched += 1
    return switched


def has_lean_layers(model: nn.Module) -> bool:
    """Whether the feed-forward parts of the model are built so that they can keep less."""
    return any(map(_is_gated, model.modules()))


class _NormFunction(torch.autograd.Function):
    """x / rms(x) * weight. (..., D), (D,) -> (..., D); rounds where transformers' norms do."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        precise = states.float()
        mean_square = precise.pow(2).mean(-1, keepdim=True)
        inverse = torch.rsqrt(mean_square + epsilon)
        ctx.save_for_backward(states, weight, inverse)
        return weight * (precise * inverse).to(states.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (gradient,) = gradients
        states, weight, inverse = ctx.saved_tensors
        unit = states.float() * inverse
        of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = (gradient * unit.to(states.dtype)).flatten(0, -2).sum(0)
        of_unit = (gradient * weight).float()

        # The part along `unit` would change the length alone, which is divided out.
        along = (of_unit * unit).mean(-1, keepdim=True)
        of_states = (of_unit - unit * along) * inverse
        return of_states.to(states.dtype), of_weight, None


class _GatedFunction(torch.autograd.Function):
    """(silu(gate) * up) W^T. (..., I), (..., I), (D, I) -> (..., D); keeps gate and up."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up, weight)
        return F.linear(F.silu(gate) * up, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        (gradient,) = gradients
        gate, up, weight = ctx.saved_tensors
        active = F.silu(gate)
        of_weight = None
        if ctx.needs_input_grad[2]:
            inner = (active * up).flatten(0, -2)
            of_weight = gradient.flatten(0, -2).t() @ inner

        of_inner = gradient @ weight
        of_up = of_inner * active
        of_gate = torch.ops.aten.silu_backward(of_inner * up, gate)
        return of_gate, of_up, of_weight


def _norm(self: Any, hidden_states: Tensor) -> Tensor:
    """The `forward` of a switched norm."""
    if not torch.is_grad_enabled():
        return type(self).forward(self, hidden_states)
    return _NormFunction.apply(hidden_states, self.weight, self.variance_epsilon)


def _gated_forward(self: Any, x: Tensor) -> Tensor:
    """The `forward` of a switched feed-forward part."""
    last = self.down_proj
    # Adapters may have come since.
    if not torch.is_grad_enabled() or not _is_plain(last):
        return type(self).forward(self, x)
    return _GatedFunction.apply(self.gate_proj(x), self.up_proj(x), last.weight)


def _is_norm(module: nn.Module) -> bool:
    """Whether it has a norm's weight and epsilon, and is given states alone."""
    names = [name for name, _ in module.named_parameters()]
    arguments = signature(type(module).forward).parameters
    return (
        names == ["weight"]
        and hasattr(module, "variance_epsilon")
        and len(arguments) == 2
    )


def _is_gated(module: nn.Module) -> bool:
    """Whether the parts are those of a gated feed-forward part, and its last can be fused."""
    if {name for name, _ in module.named_children()} != MLP_PARTS:
        return False
    return _is_plain(module.get_submodule("down_proj"))


def _is_plain(module: nn.Module) -> bool:
    return type(module) is nn.Linear and module.bias is None and not has_hooks(module)


@torch.enable_grad()
def _computes(module: nn.Module, forward: Any) -> bool:
    """Whether `forward` gives what the module does."""
    weight = next(module.parameters())
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(TRIAL_ROWS, weight.shape[-1], generator=generator).to(weight)
    return torch.equal(module(states), forward(module, states))
