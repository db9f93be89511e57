"""Self-conditioned credit: which tokens an episode owes its outcome to (arXiv:2606.18810).

The policy, shown another episode of the same group in its system prompt, is the teacher of
itself. A token matters if this moves the policy's next-token distribution:

    D[i,t] = KL( pi(. | x, ref, o_i[<t]) || pi(. | x, o_i[<t]) )    forward, teacher first    STATED
             whole vocabulary, fp32, no gradient through either side, dropout off             CHOSEN
    c      = max( 75th percentile of D over the active tokens, 1e-4 )                         STATED
    w[i,t] = D / (D + c), in [0, 1)                                                           STATED

Active tokens: action tokens of weighted rows (CHOSEN). The percentile interpolates linearly
between its neighbours (CHOSEN). The same w multiplies positive and negative advantages (STATED).
`scgrpo.credit.diversity` has the advantage of groups without a success.

What the percentile runs over, when most tokens are format and their D is rounding: all active
tokens (STATED), `credit.above_noise` those alone whose D is above D_noise, the 99th percentile of
D between two equal passes, or `credit.scope=turn` those of one turn (CHOSEN, both). With
`credit.references` a row is shown several references and D is their mean (CHOSEN).

STATED: the paper says it. CHOSEN: the paper is silent and this is our decision.
Axes: B episodes, G episodes of one group, T tokens; n is the number of verified ones of the G.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from scgrpo.credit.controls import controlled_evidence, controlled_weights
from scgrpo.credit.divergence import noise_limit
from scgrpo.credit.diversity import advantages
from scgrpo.credit.options import CreditOptions
from scgrpo.credit.percentile import scope_numbers, threshold, weights_of_signal
from scgrpo.credit.references import References, assign_references, weight_log
from scgrpo.credit.rule import Credit
from scgrpo.credit.shown import ShownReferences, shown_references
from scgrpo.credit.turns.per_turn import turn_numbers

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward

__all__ = ["SelfConditioned", "summary", "weights"]


@dataclass(frozen=True)
class SelfConditioned:
    """The rule of SC-GRPO: weight w at rows with a reference, 1 elsewhere.

    Raises ValueError for the control `unsigned`: D has no sign.
    """

    options: CreditOptions = CreditOptions()
    reads_references: ClassVar[bool] = True
    reads_options: ClassVar[frozenset[str]] = frozenset(
        field.name for field in fields(CreditOptions)
    )

    def __post_init__(self) -> None:
        if self.options.control == "unsigned":
            raise ValueError(
                "credit.control=unsigned has no effect on a divergence, which has no sign; use it "
                "with algo=sc_grpo_plus, signed, contrastive, rlsd or turn_belief"
            )

    @property
    def reference_passes(self) -> int:
        """Most teacher passes over a row."""
        return self._count + self.options.contrastive

    def __call__(
        self, forward: BatchForward, advantage: Tensor, rng: np.random.Generator
    ) -> Credit:
        """The credit of the batch; see the module's docstring."""
        batch, options = forward.batch, self.options

        # A row whose teacher input does not fit keeps weight 1 and is counted.
        references = assign_references(
            batch.verified, batch.group, rng, options, count=self._count
        )
        shown = shown_references(forward, references, options)
        references = shown.references

        rows = references.weighted.nonzero()[:, 0].tolist()
        entropy = forward.entropy(rows) if options.control == "entropy" else None
        divergence = _mean_divergence(forward, rows, shown)
        negative_divergence = forward.divergence(rows, shown.negative[0])
        noise = noise_limit(forward, references) if options.above_noise else None

        mask = batch.action_mask
        by_turn = options.scope == "turn"
        w = weights(
            divergence,
            entropy,
            mask,
            references,
            options,
            negative_divergence=negative_divergence,
            micro_batch=batch.group,
            turn=turn_numbers(forward.episodes, mask) if by_turn else None,
            noise=noise,
        )
        active = mask & references.weighted[:, None]
        w = controlled_weights(w, active, forward, advantage, options, rng)
        return Credit(
            weight=w * mask,
            advantage=advantages(advantage, batch.group, references, w, mask, options),
            divergence=divergence,
            references=references,
            log=summary(divergence, w, mask, batch.group, references, options, noise),
        )

    @property
    def _count(self) -> int:
        return self.options.references or 1


def weights(
    divergence: Tensor,
    entropy: Tensor | None,
    action_mask: Tensor,
    references: References,
    options: CreditOptions,
    *,
    negative_divergence: Tensor | None = None,
    micro_batch: Tensor | None = None,
    turn: Tensor | None = None,
    noise: float | None = None,
) -> Tensor:
    """w = D / (D + c) at action tokens of rows with a reference, 1 elsewhere. (B, T) float32.

    `divergence` (B, T) nats, D against `references.reference`; `negative_divergence` likewise
    against `references.negative_reference`, for `contrastive`; `entropy` (B, T) nats, for its
    control. Values off the active tokens are not looked at. `micro_batch` (B,) says which rows run
    together, `turn` (B, T) numbers turns, for the scopes of these names; `noise` nats is D_noise,
    for `above_noise`. No gradient passes.

    Raises ValueError if an option lacks its tensor, and for a signal that is not finite.
    """
    active = action_mask & references.weighted[:, None]
    signal = _signal(divergence, negative_divergence, references, options)
    signal = controlled_evidence(signal, entropy, active, options, signed=False)
    scope = scope_numbers(options, action_mask, micro_batch, turn)
    return weights_of_signal(signal, active, scope, options, noise)


def summary(
    divergence: Tensor,
    w: Tensor,
    action_mask: Tensor,
    group: Tensor,
    references: References,
    options: CreditOptions,
    noise: float | None = None,
) -> dict[str, float]:
    """What to log of a step, with `weight_log`; a key without tokens to speak of is left out.

    | key | meaning |
    |---|---|
    | credit/mean_d | mean of `divergence` over the active tokens |
    | credit/c | c of `divergence` over the step's active tokens, whatever the scope |
    """
    log = weight_log(w, action_mask, group, references)
    weighted_tokens = action_mask & references.weighted[:, None]
    active = divergence[weighted_tokens]
    if active.numel():
        log["credit/mean_d"] = float(active.mean())
        log["credit/c"] = float(threshold(active, options, noise))
    return log


def _mean_divergence(
    forward: BatchForward, rows: list[int], shown: ShownReferences
) -> Tensor:
    """D (B, T) nats, the mean over the verified references that each row is shown."""
    total, *further = [forward.divergence(rows, each) for each in shown.verified]
    counts = torch.zeros(len(total))
    for prompts in shown.verified:
        counts[list(prompts)] += 1
    # A sum of one is not divided, so that it stays what it was.
    for divergence in further:
        total = total + divergence
    return total / counts.clamp_min(1)[:, None] if further else total


def _signal(
    divergence: Tensor,
    negative_divergence: Tensor | None,
    references: References,
    options: CreditOptions,
) -> Tensor:
    """What w is made of: (B, T) float32, detached, with values under 0 that stand for 0."""
    divergence = divergence.detach().float()
    if not options.contrastive:
        return divergence
    if negative_divergence is None:
        raise ValueError(
            "contrastive: got no divergence from the negative reference, expected (B, T)"
        )

    # A row without a negative reference keeps its one-sided D.
    contrast = divergence - negative_divergence.detach().float()
    has_negative = references.negative_reference >= 0
    return torch.where(has_negative[:, None], contrast, divergence)
