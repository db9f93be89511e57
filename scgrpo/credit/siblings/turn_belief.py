"""After AgentOPSD: a turn counts by how much it revises a belief that the episode will pass.

    e_k = sum of d over turn k                       a teacher's evidence, in nats
    c_k = 0.95 c_{k-1} + e_k
    B_k = sigmoid(logit(B_0) + c_k)                  the belief; B_0 is the group's share of passes
    q_k = sign(A) (B_k - B_{k-1})                    the revision, as the verdict sees it
    z_k = (q_k - mean q) / std q                     over the episode's turns
    w_k = (1 - l) + l clip(1 + b z_k, 1 - b, 1 + b)  the same at every token of turn k

with l 0.5, b 0.2 and B_0 in [0.05, 0.95]. What a sigmoid has settled already, more evidence hardly
revises. The std is the population one and at least `credit.floor`, so that revisions of the size
of rounding errors weigh 1 (CHOSEN).

Source: arXiv:2608.05987. There the teacher reads a retrieved skill, here a verified sibling
(CHOSEN). Axes: B episodes, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scgrpo.credit.siblings.rule import SiblingLogprobs, SiblingRule

__all__ = ["TurnBelief", "revisions"]

LEAST_BELIEF = 0.05


@dataclass(frozen=True)
class TurnBelief(SiblingRule):
    """The rule after AgentOPSD: `share` is l, `band` is b, `decay` that of older evidence."""

    share: float = 0.5
    band: float = 0.2
    decay: float = 0.95
    reads_options: ClassVar[frozenset[str]] = SiblingRule.reads_options | {"floor"}

    def evidence(self, logprobs: SiblingLogprobs) -> Tensor:
        """q of the turn at each of its tokens."""
        evidence = torch.zeros_like(logprobs.plain)
        gap = logprobs.gap
        prior = logprobs.success.clamp(LEAST_BELIEF, 1 - LEAST_BELIEF)
        for row in _rows(logprobs):
            active = logprobs.active[row]
            place, turns = _turns(logprobs.turn[row, active])
            sums = gap.new_zeros(turns).index_add(0, place, gap[row, active])
            q = revisions(sums, float(prior[row]), self.decay)
            evidence[row, active] = logprobs.sign[row] * q[place]
        return evidence

    def weights(self, evidence: Tensor, logprobs: SiblingLogprobs) -> Tensor:
        """w of each turn, at its tokens; evidence within a turn is averaged."""
        w = torch.ones_like(evidence)
        for row in _rows(logprobs):
            active = logprobs.active[row]
            place, turns = _turns(logprobs.turn[row, active])
            sums = evidence.new_zeros(turns).index_add(0, place, evidence[row, active])
            q = sums / place.bincount(minlength=turns)
            z = (q - q.mean()) / q.std(correction=0).clamp_min(self.options.floor)
            factor = (1 + self.band * z).clamp(1 - self.band, 1 + self.band)
            w[row, active] = ((1 - self.share) + self.share * factor)[place]
        return w


def revisions(evidence: Tensor, prior: float, decay: float) -> Tensor:
    """B_k - B_{k-1} of turns with `evidence` (turns,) nats, from the belief `prior`. (turns,)."""
    start = torch.tensor(prior).logit()
    total = torch.zeros(())
    beliefs = [start.sigmoid()]
    for of_turn in evidence:
        total = decay * total + of_turn
        beliefs.append((start + total).sigmoid())
    return torch.stack(beliefs).diff()


def _rows(logprobs: SiblingLogprobs) -> list[int]:
    return logprobs.active.any(1).nonzero()[:, 0].tolist()


def _turns(numbers: Tensor) -> tuple[Tensor, int]:
    """The turn of each token (n,), counted from 0 in their order, and how many there are."""
    turns, place = numbers.unique(return_inverse=True)
    return place, len(turns)
