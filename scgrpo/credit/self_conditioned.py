"""Self-conditioned credit: which tokens an episode owes its outcome to (arXiv:2606.18810).

The policy, shown another episode of the same group in its system prompt, is the teacher of
itself. A token matters if this moves the policy's next-token distribution:

    D[i,t] = KL( pi(. | x, ref, o_i[<t]) || pi(. | x, o_i[<t]) )    forward, teacher first    STATED
             whole vocabulary, fp32, no gradient through either side, dropout off             CHOSEN
    c      = max( 75th percentile of D over the active tokens, 1e-4 )                         STATED
    w[i,t] = D / (D + c), in [0, 1)                                                           STATED

Active tokens: action tokens of weighted rows (CHOSEN). The percentile interpolates linearly
between its neighbours (CHOSEN). The same w multiplies positive and negative advantages (STATED).

STATED: the paper says it. CHOSEN: the paper is silent and this is our decision.
Axes: B episodes, G episodes of one group, T tokens; n is the number of verified ones of the G.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from scgrpo.credit.divergence import quantile
from scgrpo.credit.options import CreditOptions
from scgrpo.credit.references import Case, References, assign_references
from scgrpo.credit.rule import Credit

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward

__all__ = ["SelfConditioned", "advantages", "summary", "weights"]


@dataclass(frozen=True)
class SelfConditioned:
    """The rule of SC-GRPO: weight w at rows with a reference, 1 elsewhere."""

    options: CreditOptions = CreditOptions()
    reads_references: ClassVar[bool] = True

    def __call__(
        self, forward: BatchForward, advantage: Tensor, rng: np.random.Generator
    ) -> Credit:
        """The credit of the batch; see the module's docstring."""
        batch, options = forward.batch, self.options

        # A row whose teacher input does not fit keeps weight 1 and is counted.
        references = assign_references(batch.verified, batch.group, rng, options)
        prompts = forward.reference_prompts(references, references.reference)
        negative_prompts = forward.reference_prompts(
            references, references.negative_reference
        )
        overflow = _overflow(references, prompts, negative_prompts)
        references = references.without(overflow)

        rows = references.weighted.nonzero()[:, 0].tolist()
        entropy = forward.entropy(rows) if options.control == "entropy" else None
        divergence = forward.divergence(rows, prompts)
        negative_divergence = forward.divergence(rows, negative_prompts)

        mask = batch.action_mask
        w = weights(
            divergence,
            entropy,
            mask,
            references,
            options,
            rng,
            negative_divergence=negative_divergence,
            micro_batch=batch.group,
        )
        return Credit(
            weight=w * mask,
            advantage=advantages(advantage, batch.group, references, w, mask, options),
            divergence=divergence,
            references=references,
            log=summary(divergence, w, mask, batch.group, references, options),
        )


def weights(
    divergence: Tensor,
    entropy: Tensor | None,
    action_mask: Tensor,
    references: References,
    options: CreditOptions,
    rng: np.random.Generator,
    *,
    negative_divergence: Tensor | None = None,
    micro_batch: Tensor | None = None,
) -> Tensor:
    """w = D / (D + c) at action tokens of rows with a reference, 1 elsewhere. (B, T) float32.

    `divergence` (B, T) nats, D against `references.reference`; `negative_divergence` likewise
    against `references.negative_reference`, for `contrastive`; `entropy` (B, T) nats, for its
    control. Values off the active tokens are not looked at. `micro_batch` (B,) says which rows run
    together, for the scope of that name. `rng` serves the control `shuffled`. No gradient passes.

    With `normalize_weights` and every w of a scope 0, all of them become 1.

    Raises ValueError if an option lacks its tensor, and for a signal that is not finite.
    """
    active = action_mask & references.weighted[:, None]
    signal = _signal(divergence, entropy, negative_divergence, references, options)
    _check_finite(signal, active)

    w = torch.ones_like(signal)
    for rows in _scopes(references, options, micro_batch):
        tokens = active & rows[:, None]
        if tokens.any():
            w[tokens] = _weights_of_scope(signal[tokens], options)
    return _apply_control(w, active, options, rng)


def advantages(
    base: Tensor,
    group: Tensor,
    references: References,
    w: Tensor,
    action_mask: Tensor,
    options: CreditOptions,
) -> Tensor:
    """`base`, with alpha_div * A_div in n = 0 groups. (B,), (B,), ..., (B, T), (B, T) -> (B,).

        s_i     = mean of w[i,t] over t < min(|o_i|, |o_r|), t counted in action tokens       STATED
        A_div_i = (s_i - mean_k s_k) / (std_k s_k + 1e-6)                                     STATED

    k runs over the group without r, and r itself gets 0 (CHOSEN); the std is the population one
    (CHOSEN). A row that lost its reference to overflow, or that has no token to compare, is left
    out of k and gets 0 (CHOSEN). Under a control, w is the controlled one.
    """
    advantage = base.clone()
    diversity = references.case == Case.DIVERSITY
    advantage[diversity] = 0.0

    # s_i, over the action tokens that the row and its reference both have.
    lengths = action_mask.sum(1)
    # A row without a reference reads row 0 here, and is left out below.
    reference_rows = references.reference.clamp_min(0)
    reference_lengths = lengths[reference_rows]
    shared = torch.minimum(lengths, reference_lengths)
    place = action_mask.cumsum(1)
    tokens = action_mask & (place <= shared[:, None])
    # float64, so that equal scores have a spread far under the 1e-6.
    total = (w.double() * tokens).sum(1)
    score = total / shared.clamp_min(1)

    has_score = diversity & references.weighted & (shared > 0)
    for g in group[has_score].unique():
        rows = has_score & (group == g)
        scores = score[rows]
        centered = scores - scores.mean()
        std = scores.std(correction=0) + 1e-6
        diversity_advantage = options.alpha_div * centered / std
        advantage[rows] = diversity_advantage.to(base.dtype)
    return advantage


def summary(
    divergence: Tensor,
    w: Tensor,
    action_mask: Tensor,
    group: Tensor,
    references: References,
    options: CreditOptions,
) -> dict[str, float]:
    """What to log of a step; a key without tokens to speak of is left out.

    | key | meaning |
    |---|---|
    | credit/mean_d | mean of `divergence` over the active tokens |
    | credit/c | max(percentile of `divergence` over the step's active tokens, floor) |
    | credit/mean_w/<case> | mean w over action tokens of the case's rows (n = 0: without r) |
    | credit/weighted_groups | share of groups in the cases WEIGHTED and WEIGHTED_SINGLE |
    | credit/overflow | rows that lost their reference |
    """
    log = {"credit/overflow": float(references.overflow.sum())}
    weighted_tokens = action_mask & references.weighted[:, None]
    active = divergence[weighted_tokens]
    if active.numel():
        log["credit/mean_d"] = float(active.mean())
        log["credit/c"] = float(_threshold(active, options))

    for case in Case:
        rows = references.case == case
        # The reference r of an n = 0 group has weight 1 and would blur the mean.
        if case is Case.DIVERSITY:
            rows = rows & references.weighted
        tokens = w[action_mask & rows[:, None]]
        if tokens.numel():
            log[f"credit/mean_w/{case.label}"] = float(tokens.mean())

    weighted = references.case == Case.WEIGHTED
    weighted |= references.case == Case.WEIGHTED_SINGLE
    weighted_groups = group[weighted].unique().numel()
    groups = group.unique().numel()
    log["credit/weighted_groups"] = weighted_groups / groups
    return log


def _overflow(
    references: References, prompts: Container[int], negative_prompts: Container[int]
) -> Tensor:
    """(B,) bool: rows that drew a reference, of either kind, for which there is no prompt."""
    pairs = (
        (references.reference, prompts),
        (references.negative_reference, negative_prompts),
    )
    overflow = torch.zeros(len(references.reference), dtype=torch.bool)
    for reference, prompt_rows in pairs:
        for row, source in enumerate(reference.tolist()):
            if source >= 0 and row not in prompt_rows:
                overflow[row] = True
    return overflow


def _signal(
    divergence: Tensor,
    entropy: Tensor | None,
    negative_divergence: Tensor | None,
    references: References,
    options: CreditOptions,
) -> Tensor:
    """What w is made of: (B, T) float32, detached, with values under 0 that stand for 0."""
    if options.control == "entropy":
        if entropy is None:
            raise ValueError(
                "control=entropy: got no entropy, expected the policy's, (B, T)"
            )
        return entropy.detach().float()

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


def _check_finite(signal: Tensor, active: Tensor) -> None:
    if signal[active].isfinite().all():
        return
    rows = (active & ~signal.isfinite()).any(1).nonzero().flatten().tolist()
    raise ValueError(
        f"divergence or entropy is not finite at action tokens of rows {rows}"
    )


def _scopes(
    references: References, options: CreditOptions, micro_batch: Tensor | None
) -> list[Tensor]:
    """The sets of rows, (B,) bool each, that share a percentile."""
    if options.scope == "step":
        return [references.weighted]
    if micro_batch is None:
        raise ValueError(
            "scope=micro_batch: got no micro_batch, expected that of each row, (B,)"
        )
    return [references.weighted & (micro_batch == m) for m in micro_batch.unique()]


def _weights_of_scope(values: Tensor, options: CreditOptions) -> Tensor:
    """D / (D + c) of a scope's signals (n,)."""
    # The max(0, .) of a contrast; and rounding can leave a KL of -1e-8.
    values = values.clamp_min(0.0)
    w = values / (values + _threshold(values, options))
    if options.normalize_weights:
        mean = w.mean()
        return w / mean if mean > 0 else torch.ones_like(w)
    return w


def _threshold(values: Tensor, options: CreditOptions) -> Tensor:
    """c: the percentile of `values` (n,), at least the floor."""
    c = quantile(values.sort().values, options.percentile)
    return c.clamp_min(options.floor)


def _apply_control(
    w: Tensor, active: Tensor, options: CreditOptions, rng: np.random.Generator
) -> Tensor:
    """`w` with the control `shuffled` or `constant` applied to each episode's active tokens."""
    if options.control not in ("shuffled", "constant"):
        return w
    for row, mask in zip(w, active, strict=True):
        values = row[mask]
        if options.control == "shuffled":
            order = torch.from_numpy(rng.permutation(len(values)))
            row[mask] = values[order.to(w.device)]
        elif len(values):
            row[mask] = values.mean()
    return w
