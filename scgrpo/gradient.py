"""The gradient of one optimizer step's rows, pack by pack."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from scgrpo.algorithms.presets import Algorithm
from scgrpo.credit.rule import Credit
from scgrpo.distributed.ranks import Ranks
from scgrpo.losses import is_clipped, kl_estimate, surrogate
from scgrpo.models.forward import BatchForward, Pack
from scgrpo.models.scoring import token_scores
from scgrpo.runs.stages import stage
from scgrpo.training.optimizer import MasterAdamW

__all__ = ["FixedLogprobs", "Gradient", "PolicyGradient", "rows_with_gradient"]


@dataclass(frozen=True)
class FixedLogprobs:
    """Log-probabilities (B, T), nats, that the policy's are compared with.

    | field | meaning |
    |---|---|
    | old | the policy's before the step's first update; None in that one, which computes them |
    | reference | the frozen model's, which the KL term is about; None without that term |
    """

    old: Tensor | None = None
    reference: Tensor | None = None


@dataclass(frozen=True)
class Gradient:
    """What was computed on the way to a gradient.

    | field | meaning |
    |---|---|
    | log | numbers to log |
    | entropy | (|o_b|,) in nats of each row b that any rank read |
    | logprobs | (|o_b|,) in nats of each row b that this rank read |
    """

    log: dict[str, float] = field(default_factory=dict)
    entropy: dict[int, Tensor] = field(default_factory=dict)
    logprobs: dict[int, Tensor] = field(default_factory=dict)


class Sums(NamedTuple):
    """Over the action tokens that were read; their means are logged."""

    loss: float = 0.0
    entropy: float = 0.0
    mismatch: float = 0.0
    capped: float = 0.0
    clipped: float = 0.0
    kl: float = 0.0
    tokens: float = 0.0


@dataclass(frozen=True)
class PolicyGradient:
    """Adds up the gradient of an algorithm's loss.

    | field | meaning |
    |---|---|
    | optimizer | collects the gradients of sharded layers |
    | importance_cap | see `PolicyUpdate` |
    | kl_coefficient | what the KL from the reference model is multiplied with |
    | ranks | the processes that share the rows; each computes and adds up its own alone |
    """

    algorithm: Algorithm
    optimizer: MasterAdamW
    importance_cap: float
    kl_coefficient: float
    ranks: Ranks

    def add(
        self,
        forward: BatchForward,
        credit: Credit,
        part: list[int],
        fixed: FixedLogprobs,
    ) -> Gradient:
        """Adds the gradient of the rows in `part`; those of advantage 0 have the KL's alone."""
        mask = forward.batch.action_mask
        scale = torch.zeros(mask.shape)
        scale[part] = self.algorithm.weight(mask[part])
        rows = part
        if not self.kl_coefficient:
            learning = set(rows_with_gradient(credit.advantage))
            rows = [row for row in part if row in learning]

        # Plain sums, because ranks and packs hold parts of different size.
        sums = Sums()
        gradient = Gradient()
        for pack in forward.take(rows):
            with stage("student_forward"):
                logprobs, entropy = token_scores(
                    forward.head,
                    pack.states,
                    forward.targets(pack.rows),
                    known=pack.scores,
                )
            loss, pack_sums = self._loss(forward, pack, logprobs, scale, credit, fixed)
            with stage("backward", len(logprobs)):
                loss.backward()
                self.optimizer.share_gradients()

            pack_sums = pack_sums._replace(entropy=entropy.sum().item())
            sums = Sums(*map(sum, zip(sums, pack_sums, strict=True)))
            gradient.entropy.update(forward.by_row(pack.rows, entropy))
            gradient.logprobs.update(forward.by_row(pack.rows, logprobs))

        sums = Sums(*self.ranks.reduce_sum(*sums))
        gradient.log.update(self._log(sums, fixed))
        for by_row in self.ranks.all_gather(gradient.entropy):
            gradient.entropy.update(by_row)
        return gradient

    def _loss(
        self,
        forward: BatchForward,
        pack: Pack,
        logprobs: Tensor,
        scale: Tensor,
        credit: Credit,
        fixed: FixedLogprobs,
    ) -> tuple[Tensor, Sums]:
        """The pack's part of the loss, a scalar, and what to log of it. `logprobs` (A,).

        A token that other weights sampled is scaled by its probability under the policy from before
        the step's first update, over the one that it was sampled with, up to the cap.
        """
        rows, device = pack.rows, logprobs.device
        mask = forward.batch.action_mask[rows]
        old = logprobs.detach()
        if fixed.old is not None:
            old = fixed.old[rows][mask].to(device)
        gap = old - forward.old_logprobs(rows)
        ratio = gap.exp().clamp(max=self.importance_cap)

        plain = scale[rows][mask].to(device)
        weight = plain * credit.weight[rows][mask].to(device)
        if math.isfinite(self.importance_cap):
            weight = weight * ratio
        ratio_terms = (
            logprobs,
            old,
            _at_tokens(credit.advantage[rows], mask).to(device),
            weight,
            self.algorithm.clip_low,
            self.algorithm.clip_high,
            self._sequence(rows, mask).to(device)
            if self.algorithm.sequence_ratio
            else None,
        )
        loss = surrogate(*ratio_terms)
        kl_sum = 0.0
        if fixed.reference is not None:
            reference = fixed.reference[rows][mask].to(device)
            kl = kl_estimate(logprobs, old, reference)
            if math.isfinite(self.importance_cap):
                kl = kl * ratio
            loss = loss + self.kl_coefficient * (plain * kl).sum()
            kl_sum = kl.sum().item()
        clipped = 0.0
        if fixed.old is not None:
            clipped = is_clipped(*ratio_terms).sum().item()
        return loss, Sums(
            loss=loss.item(),
            mismatch=gap.abs().sum().item(),
            capped=(ratio >= self.importance_cap).sum().item(),
            clipped=clipped,
            kl=kl_sum,
            tokens=len(logprobs),
        )

    @staticmethod
    def _sequence(rows: list[int], mask: Tensor) -> Tensor:
        """(A,) the row of each token: a sequence-level ratio is a mean over it."""
        places = torch.tensor(rows, dtype=torch.long)
        return places[:, None].expand(mask.shape)[mask]

    def _log(self, sums: Sums, fixed: FixedLogprobs) -> dict[str, float]:
        """What to log of the gradient, from sums over all ranks' tokens."""
        tokens = sums.tokens
        log = {"train/loss": sums.loss, "train/tokens": tokens}
        if not tokens:
            return log
        log["train/entropy"] = sums.entropy / tokens
        log["train/logprob_mismatch"] = sums.mismatch / tokens
        if math.isfinite(self.importance_cap):
            log["train/importance_capped"] = sums.capped / tokens
        if fixed.old is not None:
            log["train/clipped"] = sums.clipped / tokens
        if fixed.reference is not None:
            log["train/reference_kl"] = sums.kl / tokens
        return log


def rows_with_gradient(advantage: Tensor) -> list[int]:
    """Rows whose advantage, (B,) or (B, T), is not 0 everywhere."""
    by_row = advantage.reshape(len(advantage), -1)
    rows = by_row.any(1).nonzero()
    return rows[:, 0].tolist()


def _at_tokens(advantage: Tensor, mask: Tensor) -> Tensor:
    """The advantage, (B,) or (B, T), at each token of the mask (B, T). -> (A,)."""
    if advantage.dim() == 1:
        advantage = advantage[:, None].expand(mask.shape)
    return advantage[mask]
