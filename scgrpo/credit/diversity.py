"""The branch of SC-GRPO for a group without a success (n = 0), apart from its weight.

    s_i     = mean of w[i,t] over t < min(|o_i|, |o_r|), t counted in action tokens       STATED
    A_div_i = (s_i - mean_k s_k) / (std_k s_k + 1e-6)                                     STATED

r is the episode that the others were scored against, and k runs over the group without it; r
itself gets 0 (CHOSEN). The std is the population one (CHOSEN). The advantage is alpha_div * A_div;
alpha_div = 0 switches the branch off, as in `algo=sc_grpo_weights`.

Source: arXiv:2606.18810. STATED: the paper says it. CHOSEN: the paper is silent and this is our
decision. Axes: B episodes, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scgrpo.credit.options import CreditOptions
from scgrpo.credit.references import Case, References

__all__ = ["advantages"]


def advantages(
    base: Tensor,
    group: Tensor,
    references: References,
    w: Tensor,
    action_mask: Tensor,
    options: CreditOptions,
) -> Tensor:
    """`base`, with alpha_div * A_div in n = 0 groups. (B,), (B,), ..., (B, T), (B, T) -> (B,).

    A row that lost its reference to overflow, or that has no token to compare, is left out of k
    and gets 0 (CHOSEN). Under a control, w is the controlled one.
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
