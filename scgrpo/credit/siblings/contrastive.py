"""RLCSD: a token counts if a verified sibling makes it more likely than failed ones do.

    e  = log p(o_t | verified sibling) - log mean_k p(o_t | failed sibling k)
    r  = l tanh(e / tau), 0 if abs(r) <= delta
    A' = A + r, where r may shrink A to 0 and not turn its sign; here as w = max(0, 1 + r / A)

with tau 0.02, l 0.5, delta 0.02 and up to 4 failed siblings. What a reference's mere presence
does to the style of an answer stands in both terms, and cancels. A row needs a sibling of each
kind, itself not counted.

Source: arXiv:2606.11709, equations 7 to 11. There tokens with r = 0 and with r != 0 are summed
with a normalisation of their own (equation 15); here all of them have the algorithm's.
Axes: B episodes, T tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scgrpo.credit.siblings.rule import SiblingLogprobs, SiblingRule

__all__ = ["Contrast", "Contrastive"]


@dataclass(frozen=True)
class Contrast(SiblingRule):
    """A rule whose evidence is sign(A) e; `credit.references` is the number of failed siblings."""

    reads_options: ClassVar[frozenset[str]] = SiblingRule.reads_options | {"references"}
    needs_failed: ClassVar[bool] = True
    reads_plain: ClassVar[bool] = False

    @property
    def failed_count(self) -> int:
        """N."""
        return self.options.references or 4

    def evidence(self, logprobs: SiblingLogprobs) -> Tensor:
        """sign(A) e."""
        absent = ~logprobs.has_failed[..., None]
        failed = logprobs.failed.masked_fill(absent, -math.inf).logsumexp(0)
        counts = logprobs.has_failed.sum(0).clamp_min(1)[:, None]
        contrast = logprobs.verified[0] - (failed - counts.log())
        # A row without a failed sibling is not weighted; its infinity must meet no 0.
        return torch.where(logprobs.active, logprobs.sign * contrast, 0.0)


@dataclass(frozen=True)
class Contrastive(Contrast):
    """The rule of RLCSD."""

    temperature: float = 0.02
    strength: float = 0.5
    dead_zone: float = 0.02

    def weights(self, evidence: Tensor, logprobs: SiblingLogprobs) -> Tensor:
        """max(0, 1 + sign(A) r / abs(A)), as tanh is odd; 1 if A = 0."""
        r = self.strength * (evidence / self.temperature).tanh()
        r = torch.where(r.abs() > self.dead_zone, r, 0.0)
        size = logprobs.advantage.abs()[:, None]
        return torch.where(size > 0, (1 + r / size).clamp_min(0.0), 1.0)
