"""AdamW over fp32 master weights of a model that computes in a smaller type."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.distributed.sharding import is_sharded, local_part
from scgrpo.distributed.shared_weights import SharedWeight

__all__ = ["AdamKind", "MasterAdamW", "Part", "adam_of"]

AdamKind = Literal["adamw", "adamw_8bit"]
"""Whose implementation: PyTorch's fused AdamW in fp32, or bitsandbytes' with 8-bit moments."""


class Part(NamedTuple):
    """A value of the optimizer: this rank's rows of it if it is sharded, and the whole's shape."""

    local: Tensor
    shape: torch.Size


class MasterAdamW:
    """Holds an fp32 copy of every trainable weight and of its gradient.

    A bf16 weight of 0.05 cannot take a step of 2e-5, so bf16 weights alone would never move.
    Gradients are added up in fp32 as each backward pass produces them; parameters that are fp32
    already are their own masters. With several ranks the gradients are summed before the step. Of a
    sharded model each rank holds the masters, gradients and moments of its own rows alone: FSDP
    sums the gradients of sharded weights in the backward pass, those of the others are handed to
    their owners by `share_gradients`.

    Raises ValueError if nothing is trained, for `adamw_8bit` without bitsandbytes, and for it with
    a sharded model: its moments have scales of blocks, which other ranks would cut elsewhere.
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
        if ranks.sharded and kind == "adamw_8bit":
            raise ValueError(
                "optimizer=adamw_8bit cannot be sharded: use adamw, or no FSDP"
            )
        self.lr = lr
        self._ranks = ranks
        self._masters: list[nn.Parameter] = []
        self._sharded: list[tuple[nn.Parameter, nn.Parameter]] = []
        self._shared: list[SharedWeight] = []
        self._replicated: list[nn.Parameter] = []
        self._rounded: list[tuple[nn.Parameter, nn.Parameter]] = []
        for p in self.parameters:
            self._masters.append(self._master(p))
        make_adam = adam_of(kind)
        self._adam = make_adam(
            self._masters,
            lr=lr,
            betas=betas,
            weight_decay=weight_decay,
        )

    def _master(self, parameter: nn.Parameter) -> nn.Parameter:
        """The fp32 weight that is stepped: the parameter, this rank's rows of it, or a copy."""
        if is_sharded(parameter):
            master = nn.Parameter(local_part(parameter.detach()))
            self._sharded.append((parameter, master))
            return master
        if self._ranks.sharded and parameter.dim():
            shared = SharedWeight(parameter, self._ranks)
            self._shared.append(shared)
            return shared.master

        master = parameter
        if parameter.dtype != torch.float32:
            master = nn.Parameter(parameter.detach().float())
            parameter.register_post_accumulate_grad_hook(_gradient_mover(master))
            self._rounded.append((parameter, master))
        self._replicated.append(master)
        return master

    def share_gradients(self) -> None:
        """Sums what lies outside a sharded model's layers, and leaves each rank its own rows of it.

        To be called after a backward pass, by all ranks, so that no rank holds a complete gradient
        in fp32 until the step; `step` does it as well.
        """
        for weight in self._shared:
            weight.share_gradient()

    def step(self, *, lr: float, max_norm: float) -> float:
        """Clips the gradient to `max_norm`, steps, and clears it. Returns the norm before clipping.

        A norm that is not finite skips the step.
        """
        self.share_gradients()
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
        for weight in self._shared:
            weight.publish()

    def state_parts(self) -> dict[str, Part]:
        """Masters and Adam's moments by name: `master.I` and `MOMENT.I` of the I-th parameter.

        Of a sharded model they are this rank's rows. Nothing is copied.
        """
        parts: dict[str, Part] = {}
        for i, (p, master) in enumerate(
            zip(self.parameters, self._masters, strict=True)
        ):
            parts[f"master.{i}"] = Part(master.detach(), p.shape)
            for name, value in self._adam.state[master].items():
                value = torch.as_tensor(value)
                # What has another shape than its weight is complete on every rank.
                is_rows = value.shape == master.shape
                parts[f"{name}.{i}"] = Part(value, p.shape if is_rows else value.shape)
        return parts

    @torch.no_grad()
    def load_state_parts(self, parts: Mapping[str, Tensor]) -> None:
        """Puts back what `state_parts` returned, and the model's weights with it."""
        moments: dict[int, dict[str, Any]] = {}
        for key, value in parts.items():
            name, _, index = key.rpartition(".")
            if name == "master":
                self._masters[int(index)].copy_(value)
                continue
            # bitsandbytes counts its steps in a Python number.
            is_count = value.dtype == torch.int64 and value.dim() == 0
            of_weight = moments.setdefault(int(index), {})
            of_weight[name] = value.item() if is_count else value
        state = self._adam.state_dict()
        self._adam.load_state_dict({**state, "state": moments})
        self._publish()

    @torch.no_grad()
    def _clip(self, max_norm: float) -> float:
        """Scales the gradient down to a norm of `max_norm`; the norm before it, over all parts."""
        if not self._ranks.sharded:
            return float(nn.utils.clip_grad_norm_(self._masters, max_norm))

        own = [master for _, master in self._sharded]
        own += [weight.master for weight in self._shared]
        squares = _sum_of_squares(own)
        self._ranks.all_reduce_(squares)
        # Replicated gradients are the same on every rank: they count once.
        squares += _sum_of_squares(self._replicated)
        norm = math.sqrt(float(squares))
        factor = min(1.0, max_norm / (norm + 1e-6))
        for gradient in _gradients(self._masters):
            gradient.mul_(factor)
        return norm


def _sum_of_squares(masters: Iterable[Tensor]) -> Tensor:
    """The sum of the squares of their gradients, in float64. -> ()."""
    # One norm of all: a sum of its own for each would wait for a GPU each time.
    norm = nn.utils.get_total_norm(_gradients(masters))
    return norm.double().square()


def _gradients(masters: Iterable[Tensor]) -> list[Tensor]:
    return [master.grad for master in masters if master.grad is not None]


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
