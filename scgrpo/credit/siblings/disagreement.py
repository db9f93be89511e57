"""A token counts if verified siblings agree on it with each other and differ from failed ones.

    m_+, s_+ = mean and population std of log p(o_t | verified sibling k) over k
    m_-      = mean of log p(o_t | failed sibling k) over k
    S        = max(0, abs(m_+ - m_-) - s_+)
    w        = S / (S + c), c the percentile of S as in SC-GRPO

Each row is shown two siblings of each kind, or `credit.references`, while its group has that many.
A row without a failed sibling compares with no sibling at all: m_- = log p(o_t).

Source: ours, after the remark of arXiv:2606.18810 that verified solutions disagree where there is
something to decide; a difference between the kinds that is within the spread of one is no sign of
it. Axes: B episodes, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scgrpo.credit.percentile import scope_numbers, weights_of_signal
from scgrpo.credit.siblings.rule import SiblingLogprobs, SiblingRule

__all__ = ["Disagreement"]


@dataclass(frozen=True)
class Disagreement(SiblingRule):
    """Weight where verified siblings agree and failed ones differ."""

    signed: ClassVar[bool] = False
    reads_options: ClassVar[frozenset[str]] = SiblingRule.reads_options | {
        "references",
        "percentile",
        "floor",
        "normalize_weights",
    }

    @property
    def verified_count(self) -> int:
        """K."""
        return self.options.references or 2

    @property
    def failed_count(self) -> int:
        """N."""
        return self.options.references or 2

    def evidence(self, logprobs: SiblingLogprobs) -> Tensor:
        """S."""
        agreed, spread = _mean_and_std(logprobs.verified, logprobs.has_verified)
        failed, _ = _mean_and_std(logprobs.failed, logprobs.has_failed)
        has_failed = logprobs.has_failed.any(0)[:, None]
        other = torch.where(has_failed, failed, logprobs.plain)
        return ((agreed - other).abs() - spread).clamp_min(0.0)

    def weights(self, evidence: Tensor, logprobs: SiblingLogprobs) -> Tensor:
        """w in [0, 1)."""
        active = logprobs.active
        scope = scope_numbers(self.options, active, None, None)
        return weights_of_signal(evidence, active, scope, self.options)


def _mean_and_std(values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Over the first axis, of those that are present: (S, B, T), (S, B) -> (B, T), (B, T)."""
    share = present.float()[..., None]
    count = share.sum(0).clamp_min(1.0)
    mean = (share * values).sum(0) / count
    variance = (share * (values - mean).square()).sum(0) / count
    return mean, variance.sqrt()
