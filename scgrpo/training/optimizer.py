"""AdamW over fp32 master weights of a model that computes in a smaller type."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.distributed.sharding import full_tensor, is_sharded, local_part, shard_of

__all__ = ["AdamKind", "MasterAdamW", "adam_of"]

AdamKind = Literal["adamw", "adamw_8bit"]
"""Whose implementation: PyTorch's fused AdamW in fp32, or bitsandbytes' with 8-bit moments."""


class MasterAdamW:
    """Holds an fp32 copy of every trainable weight and of its gradient.

    A bf16 weight of 0.05 cannot take a step of 2e-5, so bf16 weights alone would never move.
    Gradients are added up in fp32 as each backward pass produces them; parameters that are fp32
    already are their own masters. With several ranks the gradients are summed before the step; of a
    sharded weight, which is fp32, each rank has its part alone, summed by the backward pass.
    Raises ValueError if nothing is trained, for `adamw_8bit` without bitsandbytes, and for it with
    sharded weights: parts of its moments could not be put together.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        kind: AdamKind = "adamw",
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        if not self.parameters:
            raise ValueError(
                "no parameter requires a gradient; nothing would be trained"
            )
        self.lr = lr
        self._ranks = ranks
        self._masters = [_master(p) for p in self.parameters]
        self._pairs = list(zip(self.parameters, self._masters, strict=True))

        self._sharded = [(p, master) for p, master in self._pairs if is_sharded(p)]
        self._replicated = [master for p, master in self._pairs if not is_sharded(p)]
        self._rounded = [
            (p, master) for p, master in self._pairs if p.dtype != torch.float32
        ]
        if self._sharded and kind == "adamw_8bit":
            raise ValueError(
                "optimizer=adamw_8bit cannot be sharded: use adamw, or no FSDP"
            )

        for p, master in self._rounded:
            p.register_post_accumulate_grad_hook(_gradient_mover(master))
        make_adam = adam_of(kind)
        self._adam = make_adam(
            self._masters,
            lr=lr,
            betas=betas,
            weight_decay=weight_decay,
        )

    def step(self, *, lr: float, max_norm: float) -> float:
        """Clips the gradient to `max_norm`, steps, and clears it. Returns the norm before clipping.

        A norm that is not finite skips the step.
        """
        for p, part in self._sharded:
            part.grad = None
            if p.grad is not None:
                part.grad = local_part(p.grad)
            p.grad = None
        self._ranks.sum_gradients(self._replicated)
        norm = self._clip(max_norm)

        # Every rank has the same norm, so all of them skip or none does.
        if math.isfinite(norm):
            for group in self._adam.param_groups:
                group["lr"] = lr
            self._adam.step()
            # The fused step does not count versions up, by which prepacked weights see a change.
            increment_version(self._masters)
            self._publish()
        self._adam.zero_grad(set_to_none=True)
        return norm

    @torch.no_grad()
    def _publish(self) -> None:
        """Rounds the masters into the model's own weights."""
        for p, master in self._rounded:
            p.copy_(master)

    def state_dict(self) -> dict[str, Any]:
        """Masters and Adam's moments, complete: all ranks must call it if weights are sharded."""
        masters = [full_tensor(p, master.detach()) for p, master in self._pairs]
        adam = self._map_moments(self._adam.state_dict(), full_tensor)
        return {"masters": masters, "adam": adam}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts masters, moments and the model's weights back as they were."""
        for (p, master), saved in zip(self._pairs, state["masters"], strict=True):
            master.copy_(shard_of(p, saved))
        adam = self._map_moments(state["adam"], shard_of)
        self._adam.load_state_dict(adam)
        self._publish()

    def _map_moments(
        self, state: dict[str, Any], change: Callable[[Tensor, Tensor], Tensor]
    ) -> dict[str, Any]:
        """Adam's state with `change(parameter, moment)` for each moment; counters stay."""
        changed: dict[int, dict[str, Any]] = {}
        for index, moments in state["state"].items():
            parameter = self.parameters[index]
            of_parameter = dict(moments)
            for name, value in moments.items():
                # Counters of steps are tensors too, but without an axis.
                if isinstance(value, Tensor) and value.dim() > 0:
                    of_parameter[name] = change(parameter, value)
            changed[index] = of_parameter
        return {**state, "state": changed}

    @torch.no_grad()
    def _clip(self, max_norm: float) -> float:
        """Scales the gradient down to a norm of `max_norm`; the norm before it, over all parts."""
        if not self._sharded:
            return float(nn.utils.clip_grad_norm_(self._masters, max_norm))

        parts = [part for _, part in self._sharded]
        squares = _sum_of_squares(parts)
        self._ranks.all_reduce_(squares)
        # Replicated gradients are the same on every rank: they count once.
        squares += _sum_of_squares(self._replicated)
        norm = math.sqrt(float(squares))

        factor = min(1.0, max_norm / (norm + 1e-6))
        for master in self._masters:
            if master.grad is not None:
                master.grad.mul_(factor)
        return norm


def _sum_of_squares(masters: Iterable[Tensor]) -> Tensor:
    """The sum of the squares of their gradients, in float64. -> ()."""
    grads = [master.grad for master in masters if master.grad is not None]
    squares = (float(grad.square().sum()) for grad in grads)
    return torch.tensor(sum(squares), dtype=torch.float64)


def _master(parameter: nn.Parameter) -> nn.Parameter:
    """The fp32 weight that is stepped: the parameter, this rank's part of it, or a copy."""
    if is_sharded(parameter):
        return nn.Parameter(local_part(parameter.detach()))
    if parameter.dtype == torch.float32:
        return parameter
    return nn.Parameter(parameter.detach().float())


def adam_of(kind: AdamKind) -> Callable[..., torch.optim.Optimizer]:
    """The constructor of that kind of optimizer. Raises ValueError if its library is missing."""
    if kind == "adamw":
        return partial(torch.optim.AdamW, fused=True)
    try:
        from bitsandbytes.optim import AdamW8bit  # pyright: ignore
    except ImportError as error:
        raise ValueError(
            f"optimizer={kind} needs bitsandbytes ({error}): pip install bitsandbytes"
        ) from error
    return AdamW8bit


def _gradient_mover(master: Tensor) -> Callable[[Tensor], None]:
    """A hook that adds a fresh gradient to its master's, in fp32, and frees it."""

    def move(parameter: Tensor) -> None:
        """Called by autograd once the gradient of `parameter` is complete."""
        if parameter.grad is None:
            return
        fresh = parameter.grad.float()
        if master.grad is None:
            master.grad = fresh
        else:
            master.grad.add_(fresh)
        parameter.grad = None

    return move
