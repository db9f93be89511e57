"""Weights that every rank computes with, and that are stepped by rows: each rank has its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scgrpo.distributed.ranks import Ranks

__all__ = ["SharedWeight"]


class SharedWeight:
    """A weight outside a sharded model's layers, whose master, gradient and moments are shared out.

    Every rank has the complete weight in the model's type, because the output layer and a tied
    embedding are called outside any FSDP module; all else that training needs of it, in fp32, is
    on one rank alone (as in ZeRO-2, arXiv:1910.02054). Rows go to ranks as FSDP's do.

    | attribute | meaning |
    |---|---|
    | parameter | the complete weight, at least one axis |
    | master | this rank's rows in fp32; its gradient is the sum over all ranks |
    """

    def __init__(self, parameter: nn.Parameter, ranks: Ranks) -> None:
        self.parameter = parameter
        self._ranks = ranks
        self._chunk = -(-len(parameter) // ranks.count)
        rows = ranks.rows(len(parameter))
        own = parameter.detach()[rows.start : rows.stop]
        self.master = nn.Parameter(own.to(torch.float32, copy=True))
        self._gradient: Tensor | None = None
        parameter.register_post_accumulate_grad_hook(self._add_gradient)

    def _add_gradient(self, parameter: Tensor) -> None:
        """Called by autograd once the gradient of the weight is complete."""
        if parameter.grad is None:
            return
        fresh = parameter.grad.float()
        parameter.grad = None
        self._gradient = fresh if self._gradient is None else self._gradient.add_(fresh)

    def share_gradient(self) -> None:
        """Adds what came since to the owners' gradients. All ranks must call it.

        Either all of them have a gradient or none has: they make the same passes.
        """
        if self._gradient is None:
            return
        # Freed as soon as it was sent.
        whole, self._gradient = self._gradient, None
        whole = _padded(whole, self._chunk * self._ranks.count)
        part = whole.new_empty(self._chunk, *whole.shape[1:])
        self._ranks.reduce_scatter_(part, whole)
        own = part[: len(self.master)]
        if self.master.grad is None:
            self.master.grad = own
        else:
            self.master.grad.add_(own)

    @torch.no_grad()
    def publish(self) -> None:
        """Rounds all masters into the weight of every rank. All ranks must call it."""
        part = _padded(self.master.detach().to(self.parameter.dtype), self._chunk)
        whole = part.new_empty(self._chunk * self._ranks.count, *part.shape[1:])
        self._ranks.all_gather_into_(whole, part)
        self.parameter.copy_(whole[: len(self.parameter)])


def _padded(value: Tensor, rows: int) -> Tensor:
    """The value with rows of zeros behind it; the value itself if it has as many already."""
    missing = rows - len(value)
    if not missing:
        return value
    return torch.cat([value, value.new_zeros(missing, *value.shape[1:])])
