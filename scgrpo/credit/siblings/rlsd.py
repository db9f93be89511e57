"""RLSD: the verdict gives the direction, a teacher's log-ratio the size of each token's step.

    A' = A ((1 - l) + l clip(exp(sign(A) d), 1 - e, 1 + e)),   l = 0.5, e = 0.2

d = log p(o_t | verified sibling) - log p(o_t). Source: arXiv:2604.03128. There the teacher reads
the task's reference answer and l falls to 0 over the run; here a sibling, and l stays (CHOSEN).
Axes: B episodes, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scgrpo.credit.siblings.rule import SiblingLogprobs, SiblingRule

__all__ = ["Rlsd"]


@dataclass(frozen=True)
class Rlsd(SiblingRule):
    """The rule of RLSD: `share` is l, `band` is e."""

    share: float = 0.5
    band: float = 0.2

    def evidence(self, logprobs: SiblingLogprobs) -> Tensor:
        """u = sign(A) d."""
        return logprobs.influence

    def weights(self, evidence: Tensor, logprobs: SiblingLogprobs) -> Tensor:
        """(1 - l) + l clip(exp(u), 1 - e, 1 + e)."""
        # Clipped before exp as well: a large u is no infinity.
        ratio = evidence.clamp(-1.0, 1.0).exp().clamp(1 - self.band, 1 + self.band)
        return (1 - self.share) + self.share * ratio
