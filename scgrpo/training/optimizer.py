"""AdamW over fp32 master weights of a model that computes in a smaller type."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from scgrpo.distributed.masters import ReplicatedMaster, master_of
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks

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
    their owners by `share_gradients`. With `offload` masters and moments lie on the CPU, and the
    step is taken there: a GPU holds the model and its gradient (as in ZeRO-Offload,
    arXiv:2101.06840).

    Raises ValueError if nothing is trained, for `adamw_8bit` without bitsandbytes, and for it with
    a sharded model, whose blocks of scaled moments other ranks would cut elsewhere, or `offload`.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        kind: AdamKind = "adamw",
        offload: bool = False,
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
        if offload and kind == "adamw_8bit":
            raise ValueError("optimizer=adamw_8bit steps on the GPU: use adamw")
        self.lr = lr
        self._ranks = ranks
        self._by_parameter = [
            master_of(p, ranks, offload=offload) for p in self.parameters
        ]
        self._masters = [master.weight for master in self._by_parameter]
        make_adam = adam_of(kind)
        self._adam = make_adam(
            self._masters,
            lr=lr,
            betas=betas,
            weight_decay=weight_decay,
        )

    def share_gradients(self) -> None:
        """Sums what lies outside a sharded model's layers, and leaves each rank its own rows of it.

        To be called after a backward pass, by all ranks, so that no rank holds a complete gradient
        in fp32 until the step; `step` does it as well.
        """
        for master in self._by_parameter:
            master.share_gradient()

    def step(self, *, lr: float, max_norm: float) -> float:
        """Clips the gradient to `max_norm`, steps, and clears it. Returns the norm before clipping.

        A norm that is not finite skips the step.
        """
        self.share_gradients()
        gradients = [master.take_gradient() for master in self._by_parameter]
        self._sum_replicated(gradients)
        norm = self._clip(gradients, max_norm)

        # Every rank has the same norm, so all of them skip or none does.
        if math.isfinite(norm):
            for i, master in enumerate(self._masters):
                gradient, gradients[i] = gradients[i], None
                # One after the other leaves the GPU, if masters lie on the CPU.
                master.grad = None if gradient is None else gradient.to(master.device)
            for group in self._adam.param_groups:
                group["lr"] = lr
            self._adam.step()
            # The fused step does not count versions up, by which prepacked weights see a change.
            increment_version(self._masters)
            self._publish()
        self._adam.zero_grad(set_to_none=True)
        return norm

    def _publish(self) -> None:
        """Rounds the masters into the model's own weights."""
        for master in self._by_parameter:
            master.publish()

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

    def _replicated_numbers(self) -> list[int]:
        """Numbers of the weights that every rank steps."""
        kinds = enumerate(self._by_parameter)
        return [i for i, master in kinds if isinstance(master, ReplicatedMaster)]

    def _sum_replicated(self, gradients: list[Tensor | None]) -> None:
        """Sums the gradients of the weights that every rank steps over the ranks."""
        places = self._replicated_numbers()
        sums = self._ranks.summed_gradients(
            [gradients[i] for i in places], [self._masters[i] for i in places]
        )
        for i, gradient in zip(places, sums, strict=True):
            gradients[i] = gradient

    @torch.no_grad()
    def _clip(self, gradients: Sequence[Tensor | None], max_norm: float) -> float:
        """Scales the gradient down to a norm of `max_norm`; the norm before it, over all parts.

        A GPU is waited for once.
        """
        if self._ranks.sharded:
            replicated = set(self._replicated_numbers())
            own = [g for i, g in enumerate(gradients) if i not in replicated]
            squares = _sum_of_squares(own)
            self._ranks.all_reduce_(squares)
            # Every copy of the model has counted them.
            squares /= self._ranks.copies
            # Replicated gradients are the same on every rank: they count once.
            squares += _sum_of_squares([gradients[i] for i in replicated])
            norm = squares.sqrt()
        else:
            norm = nn.utils.get_total_norm(_present(gradients))

        # As a tensor, so that the GPU can go on.
        factor = (max_norm / (norm + 1e-6)).clamp(max=1.0).float()
        for gradient in _present(gradients):
            gradient.mul_(factor)
        return float(norm)


def _sum_of_squares(gradients: Iterable[Tensor | None]) -> Tensor:
    """The sum of their squares, in float64. -> ()."""
    # One norm of all: a sum of its own for each would wait for a GPU each time.
    norm = nn.utils.get_total_norm(_present(gradients))
    return norm.double().square()


def _present(gradients: Iterable[Tensor | None]) -> list[Tensor]:
    return [gradient for gradient in gradients if gradient is not None]


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
