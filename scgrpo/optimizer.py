"""AdamW over fp32 master weights of a model that computes in a smaller type."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scgrpo.distributed import ALONE, Ranks

__all__ = ["AdamKind", "MasterAdamW", "adam_of"]

AdamKind = Literal["adamw", "adamw_8bit"]
"""Who keeps the moments: PyTorch's fused AdamW in fp32, or bitsandbytes' AdamW in 8 bits."""


class MasterAdamW:
    """Holds an fp32 copy of every trainable weight and of its gradient.

    A bf16 weight of 0.05 cannot take a step of 2e-5, so bf16 weights alone would never move.
    Gradients are added up in fp32 as each backward pass produces them; parameters that are fp32
    already are their own masters. With several ranks the gradients are summed before the step.
    Raises ValueError where nothing is trained, and for `adamw_8bit` without bitsandbytes.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        kind: AdamKind = "adamw",
        ranks: Ranks = ALONE,
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        if not self.parameters:
            raise ValueError("no parameter requires a gradient; nothing would be trained")
        self.lr, self._ranks = lr, ranks
        self._masters = [
            p if p.dtype == torch.float32 else nn.Parameter(p.detach().float())
            for p in self.parameters
        ]
        for p, master in zip(self.parameters, self._masters, strict=True):
            if master is not p:
                p.register_post_accumulate_grad_hook(_adder(master))
        self._adam = adam_of(kind)(self._masters, lr=lr, betas=betas, weight_decay=weight_decay)

    def step(self, *, lr: float, max_norm: float) -> float:
        """Clips the gradient to `max_norm`, steps, and clears it. Returns the norm before clipping.

        A norm that is not finite skips the step.
        """
        self._ranks.sum_gradients(self._masters)
        norm = float(nn.utils.clip_grad_norm_(self._masters, max_norm))
        if math.isfinite(norm):
            for group in self._adam.param_groups:
                group["lr"] = lr
            self._adam.step()
            self._publish()
        self._adam.zero_grad(set_to_none=True)
        return norm

    @torch.no_grad()
    def _publish(self) -> None:
        """Rounds the masters into the model's own weights."""
        for p, master in zip(self.parameters, self._masters, strict=True):
            if master is not p:
                p.copy_(master)

    def state_dict(self) -> dict[str, Any]:
        """Masters and Adam's moments."""
        return {"masters": [m.detach() for m in self._masters], "adam": self._adam.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts masters, moments and the model's weights back as they were."""
        for master, saved in zip(self._masters, state["masters"], strict=True):
            master.copy_(saved)
        self._adam.load_state_dict(state["adam"])
        self._publish()


def adam_of(kind: AdamKind) -> Callable[..., torch.optim.Optimizer]:
    """What makes the optimizer of that kind. Raises ValueError where its library is missing."""
    if kind == "adamw":
        return partial(torch.optim.AdamW, fused=True)
    try:
        from bitsandbytes.optim import AdamW8bit  # pyright: ignore
    except ImportError as error:
        raise ValueError(
            f"optimizer={kind} wants bitsandbytes ({error}): pip install bitsandbytes"
        ) from error
    return AdamW8bit


def _adder(master: Tensor) -> Any:
    """A hook that moves a fresh gradient into its master's."""

    def add(parameter: Tensor) -> None:
        if parameter.grad is not None:
            fresh = parameter.grad.float()
            master.grad = fresh if master.grad is None else master.grad.add_(fresh)
            parameter.grad = None

    return add
