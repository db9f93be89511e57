"""After ICSD: a turn's credit goes to the tokens on which the teacher and the verdict agree.

    u    = A d                             to first order, what the objective gains if the policy
                                           follows the teacher at this token
    g    = F(u), in (0, 1)                 F: distribution function of the asymmetric Laplace
    w_t  = n g_t / sum of g over the turn  n: tokens of the turn

F has the step's median m of u, and on each side of it the mean distance from m as its scale:

    F(u) = exp((u - m) / b_-) / 2  for u < m,   1 - exp(-(u - m) / b_+) / 2  else

Every turn keeps the sum of its weights, so that credit moves within turns alone. Scales are at
least `credit.floor`, so that a teacher that says nothing but rounding errors gives weight 1
(CHOSEN).

Source: arXiv:2608.14945. There g scales a distillation loss, together with the teacher's trust;
here it is the weight of the policy gradient (CHOSEN). Axes: B episodes, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scgrpo.credit.siblings.rule import SiblingLogprobs, SiblingRule

__all__ = ["Signed", "laplace_gate", "with_kept_sums"]


@dataclass(frozen=True)
class Signed(SiblingRule):
    """The rule after ICSD."""

    reads_options: ClassVar[frozenset[str]] = SiblingRule.reads_options | {"floor"}

    def evidence(self, logprobs: SiblingLogprobs) -> Tensor:
        """u = A d."""
        return logprobs.advantage[:, None] * logprobs.gap

    def weights(self, evidence: Tensor, logprobs: SiblingLogprobs) -> Tensor:
        """w, whose mean over each turn is 1."""
        w = torch.ones_like(evidence)
        active = logprobs.active
        if active.any():
            gate = laplace_gate(evidence[active], self.options.floor)
            w[active] = with_kept_sums(gate, logprobs.turn[active])
        return w


def laplace_gate(u: Tensor, floor: float) -> Tensor:
    """F(u) of the values u (n,), calibrated on them, with scales of at least `floor`. (n,)."""
    distance = u - u.median()
    below, above = distance[distance < 0], distance[distance >= 0]
    scale_below = -below.mean().clamp_max(-floor) if len(below) else u.new_tensor(1.0)
    scale_above = above.mean().clamp_min(floor)
    # Each half looks at its own side alone, where its exponent is not positive.
    left = (distance.clamp_max(0.0) / scale_below).exp() / 2
    right = 1 - (-distance.clamp_min(0.0) / scale_above).exp() / 2
    return torch.where(distance < 0, left, right)


def with_kept_sums(gate: Tensor, turn: Tensor) -> Tensor:
    """The gate (n,), scaled to mean 1 within each turn; `turn` (n,) numbers turns. (n,)."""
    _, place, size = turn.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(size), dtype=torch.float64)
    sums = sums.index_add(0, place, gate.double())
    scale = size / sums
    return (gate * scale[place]).float()
