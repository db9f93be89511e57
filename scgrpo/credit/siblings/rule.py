"""What the rules of this folder share: what a token's probability owes to the group's episodes.

    d = log p(o_t | verified sibling, o_<t) - log p(o_t | o_<t)      of the sampled token, in nats
    u = sign(A) d                                                    its influence

u > 0: a verified sibling speaks for what the episode did and it passed, or against it and it
failed. A rule makes a weight w >= 0 of its evidence, so that w A never has another sign than A.
Siblings are other episodes of the row's group (CHOSEN for rules whose source shows something
else); every failed row of a group with a success is weighted, and every verified one of two or
more (CHOSEN). A row without the siblings that a rule needs keeps weight 1.

Axes: B episodes, T tokens, K verified and N failed siblings that a row is shown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from scgrpo.credit.controls import controlled_evidence, controlled_weights
from scgrpo.credit.options import CreditOptions
from scgrpo.credit.references import assign_references, weight_log
from scgrpo.credit.rule import Credit
from scgrpo.credit.shown import shown_references
from scgrpo.credit.turns.per_turn import turn_numbers

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward
    from scgrpo.models.packing import TokenIds

__all__ = ["SiblingLogprobs", "SiblingRule"]


@dataclass(frozen=True)
class SiblingLogprobs:
    """Log-probabilities of the sampled tokens, nats, and what they are set against.

    | field | meaning |
    |---|---|
    | plain | (B, T) without a sibling; 0 if the rule does not read it |
    | verified | (K, B, T) after each verified sibling |
    | failed | (N, B, T) after each failed one |
    | has_verified, has_failed | (K, B) and (N, B) bool, whether the row has that many |
    | advantage | (B,) A of each episode |
    | success | (B,) share of the row's group that passed |
    | active | (B, T) bool, action tokens of the rows that are weighted |
    | turn | (B, T) int64, the number of a token's turn in the batch |
    """

    plain: Tensor
    verified: Tensor
    failed: Tensor
    has_verified: Tensor
    has_failed: Tensor
    advantage: Tensor
    success: Tensor
    active: Tensor
    turn: Tensor

    @property
    def gap(self) -> Tensor:
        """d (B, T) of the first verified sibling."""
        return self.verified[0] - self.plain

    @property
    def sign(self) -> Tensor:
        """(B, 1) of A."""
        return self.advantage.sign()[:, None]

    @property
    def influence(self) -> Tensor:
        """u (B, T)."""
        return self.sign * self.gap


@dataclass(frozen=True)
class SiblingRule(ABC):
    """A weight for each token from log-probabilities after siblings; a subclass is a rule.

    | to define | meaning |
    |---|---|
    | verified_count, failed_count | siblings of each kind that a row is shown, in a pass each |
    | needs_failed | whether a row without a failed sibling keeps weight 1 |
    | reads_plain | whether it looks at `SiblingLogprobs.plain` |
    | signed | whether evidence under 0 is against the token's credit |
    | evidence, weights | what the weight is made of, and the weight |

    `credit.references` sets how many siblings are shown, by those rules that say so. Raises
    ValueError for the control `unsigned` if the evidence has no sign.
    """

    options: CreditOptions = CreditOptions()
    reads_references: ClassVar[bool] = True
    reads_options: ClassVar[frozenset[str]] = frozenset({"control", "shared_reference"})
    needs_failed: ClassVar[bool] = False
    reads_plain: ClassVar[bool] = True
    signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.options.control == "unsigned" and not self.signed:
            raise ValueError(
                f"credit.control=unsigned has no effect on {type(self).__name__}, whose evidence "
                "has no sign; use it with algo=sc_grpo_plus, signed, contrastive, rlsd or "
                "turn_belief"
            )

    @property
    def verified_count(self) -> int:
        """K."""
        return 1

    @property
    def failed_count(self) -> int:
        """N."""
        return 0

    @property
    def reference_passes(self) -> int:
        """Most teacher passes over a row."""
        return self.verified_count + self.failed_count

    @abstractmethod
    def evidence(self, logprobs: SiblingLogprobs) -> Tensor:
        """What the weight is made of, (B, T): the larger, the more a token counts."""

    @abstractmethod
    def weights(self, evidence: Tensor, logprobs: SiblingLogprobs) -> Tensor:
        """w >= 0 (B, T) of the evidence, which a control may have replaced."""

    def __call__(
        self, forward: BatchForward, advantage: Tensor, rng: np.random.Generator
    ) -> Credit:
        """Weight w at active tokens and 1 elsewhere; the algorithm's advantage."""
        batch, options = forward.batch, self.options
        references = assign_references(
            batch.verified,
            batch.group,
            rng,
            # n = 1 is a group like others here, and n = 0 has no sibling to learn from.
            replace(options, weight_single=True, alpha_div=0.0),
            count=self.verified_count,
            negative_count=self.failed_count,
        )
        if self.needs_failed:
            references = references.of_rows(references.negative_reference >= 0)
        shown = shown_references(forward, references, options)
        references = shown.references
        weighted = references.weighted
        rows = weighted.nonzero()[:, 0].tolist()

        mask = batch.action_mask
        active = mask & weighted[:, None]
        verified, has_verified = _logprobs(forward, rows, shown.verified)
        failed, has_failed = _logprobs(forward, rows, shown.negative)
        logprobs = SiblingLogprobs(
            plain=forward.logprobs(rows if self.reads_plain else []),
            verified=verified,
            failed=failed,
            has_verified=has_verified,
            has_failed=has_failed,
            advantage=advantage,
            success=_success(batch.verified, batch.group),
            active=active,
            turn=turn_numbers(forward.episodes, mask),
        )
        entropy = forward.entropy(rows) if options.control == "entropy" else None
        evidence = controlled_evidence(
            self.evidence(logprobs), entropy, active, options, signed=self.signed
        )
        w = torch.where(active, self.weights(evidence, logprobs), 1.0)
        w = controlled_weights(w, active, forward, advantage, options, rng)

        log = weight_log(w, mask, batch.group, references)
        if active.any():
            log["credit/mean_evidence"] = float(evidence[active].abs().mean())
        return Credit(w * mask, advantage, references=references, log=log)


def _logprobs(
    forward: BatchForward, rows: list[int], prompts: Sequence[dict[int, TokenIds]]
) -> tuple[Tensor, Tensor]:
    """(S, B, T) nats after each of the S prompts of a row, and (S, B) whether it has that one."""
    values = [forward.logprobs(rows, each) for each in prompts]
    has_prompt = torch.zeros(len(prompts), len(forward.episodes), dtype=torch.bool)
    for number, each in enumerate(prompts):
        has_prompt[number, list(each)] = True
    return torch.stack(values), has_prompt


def _success(verified: Tensor, group: Tensor) -> Tensor:
    """(B,) float32: the share of each row's group that passed."""
    same = (group[:, None] == group[None, :]).float()
    return (same * verified.float()).sum(1) / same.sum(1)
