"""Controls of a credit rule: what it would be without one thing that it claims to use.

If a rule is right about which tokens matter, it beats all of them; `CreditOptions.control` names
one. Those of `WEIGHT_CONTROLS` move finished weights and fit every rule that gives weights:

    shuffled    an episode's weights, permutation
    rotated     an episode's weights, moved on circularly by k of its tokens, 1 <= k < |o|, uniform
    swapped     w of another weighted episode of the group, drawn uniformly, token by token from
                its first; a shorter one starts again
    constant    an episode's mean
    step_mean   the mean over the action tokens of every episode with an advantage, at all tokens:
                `grpo` with its step times mean(w)
    place       the mean over the other groups' weighted tokens at the same place of a turn; if
                they have none there, over all of the step's
    inverted    an episode's weights in the reverse order of their size, ties at random

shuffled, rotated and inverted keep an episode's weights as a set, constant keeps their sum. Those
of `EVIDENCE_CONTROLS` replace what the weight is made of:

    unsigned    the size of the evidence; for rules whose evidence has a sign
    entropy     the policy's entropy; less its mean if the rule's evidence has a sign

Those of `REFERENCE_CONTROLS` are `references.assign_references`' (wrong_ref) and
`shown.shown_references`' (no_ref).

Axes: B episodes, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scgrpo.credit.options import WEIGHT_CONTROLS, CreditOptions
from scgrpo.credit.turns.per_turn import places_in_turn

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward

__all__ = [
    "WeightedTokens",
    "controlled_evidence",
    "controlled_weights",
    "moved_weights",
]


@dataclass(frozen=True)
class WeightedTokens:
    """Where a rule's weights stand.

    | field | meaning |
    |---|---|
    | mask | (B, T) bool, action tokens |
    | active | (B, T) bool, those that the rule weighs; the others have weight 1 |
    | group | (B,) int64, the group of each row |
    | learned | (B,) bool, rows whose advantage is not 0 |
    | place | (B, T) int64, the place of a token in its turn |
    """

    mask: Tensor
    active: Tensor
    group: Tensor
    learned: Tensor
    place: Tensor


def controlled_weights(
    w: Tensor,
    active: Tensor,
    forward: BatchForward,
    advantage: Tensor,
    options: CreditOptions,
    rng: np.random.Generator,
) -> Tensor:
    """`w` (B, T), or what the control makes of it. `active` (B, T) bool, `advantage` (B,)."""
    if options.control not in WEIGHT_CONTROLS:
        return w
    mask = forward.batch.action_mask
    tokens = WeightedTokens(
        mask=mask,
        active=active,
        group=forward.batch.group,
        learned=advantage != 0,
        place=places_in_turn(forward.episodes, mask),
    )
    return moved_weights(options.control, w, tokens, rng)


def moved_weights(
    control: str, w: Tensor, tokens: WeightedTokens, rng: np.random.Generator
) -> Tensor:
    """What one of `WEIGHT_CONTROLS` makes of the weights `w` (B, T) -> (B, T) float32."""
    return _MOVES[control](w, tokens, rng)


def controlled_evidence(
    evidence: Tensor,
    entropy: Tensor | None,
    active: Tensor,
    options: CreditOptions,
    *,
    signed: bool,
) -> Tensor:
    """The evidence (B, T) that a weight is made of, or what the control puts in its place.

    `entropy` (B, T) nats is needed by the control of that name, which raises ValueError without.
    """
    if options.control == "unsigned":
        return evidence.abs()
    if options.control != "entropy":
        return evidence
    if entropy is None:
        raise ValueError(
            "control=entropy: got no entropy, expected the policy's, (B, T)"
        )
    entropy = entropy.detach().float()
    if signed and active.any():
        return entropy - entropy[active].mean()
    return entropy


Move = Callable[[Tensor, WeightedTokens, np.random.Generator], Tensor]


def _shuffled(w: Tensor, tokens: WeightedTokens, rng: np.random.Generator) -> Tensor:
    def permutation(values: Tensor) -> Tensor:
        return values[torch.from_numpy(rng.permutation(len(values)))]

    return _by_episode(w, tokens, permutation)


def _rotated(w: Tensor, tokens: WeightedTokens, rng: np.random.Generator) -> Tensor:
    def rotation(values: Tensor) -> Tensor:
        if len(values) < 2:
            return values
        return values.roll(int(rng.integers(1, len(values))))

    return _by_episode(w, tokens, rotation)


def _constant(w: Tensor, tokens: WeightedTokens, rng: np.random.Generator) -> Tensor:
    def mean(values: Tensor) -> Tensor:
        return values.mean().expand(len(values))

    return _by_episode(w, tokens, mean)


def _inverted(w: Tensor, tokens: WeightedTokens, rng: np.random.Generator) -> Tensor:
    def reversal(values: Tensor) -> Tensor:
        # Equal weights in a random order: else the first of them would get the largest.
        order = torch.from_numpy(rng.permutation(len(values)))
        order = order[values[order].argsort(stable=True)]
        inverted = torch.empty_like(values)
        inverted[order] = values[order].flip(0)
        return inverted

    return _by_episode(w, tokens, reversal)


def _swapped(w: Tensor, tokens: WeightedTokens, rng: np.random.Generator) -> Tensor:
    swapped = w.clone()
    has_weights = tokens.active.any(1)
    for row in has_weights.nonzero()[:, 0].tolist():
        siblings = has_weights & (tokens.group == tokens.group[row])
        siblings[row] = False
        candidates = siblings.nonzero()[:, 0].tolist()
        active = tokens.active[row]
        if not candidates:
            # None to swap with; its own weights at their places would be no control.
            swapped[row, active] = w[row, active].mean()
            continue
        sibling = candidates[int(rng.integers(len(candidates)))]
        values = w[sibling][tokens.active[sibling]]
        places = torch.arange(int(active.sum())) % len(values)
        swapped[row, active] = values[places]
    return swapped


def _step_mean(w: Tensor, tokens: WeightedTokens, rng: np.random.Generator) -> Tensor:
    values = w[tokens.mask & tokens.learned[:, None]]
    # Without an advantage nothing is learned, whatever the weight.
    mean = values.mean() if len(values) else w.new_tensor(1.0)
    return mean.expand_as(w).clone()


def _place(w: Tensor, tokens: WeightedTokens, rng: np.random.Generator) -> Tensor:
    moved = w.clone()
    size = int(tokens.place.max()) + 1
    sums, counts = _sums_by_place(w, tokens.active, tokens.place, size)
    for g in tokens.group[tokens.active.any(1)].unique():
        active = tokens.active & (tokens.group == g)[:, None]
        own_sums, own_counts = _sums_by_place(w, active, tokens.place, size)
        others = counts - own_counts
        means = torch.where(
            others > 0,
            (sums - own_sums) / others.clamp_min(1),
            sums / counts.clamp_min(1),
        )
        moved[active] = means[tokens.place[active]].to(w.dtype)
    return moved


def _sums_by_place(
    w: Tensor, active: Tensor, place: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """(size,) float64 each: the sum of the active weights at each place, and their number."""
    places = place[active]
    sums = torch.zeros(size, dtype=torch.float64)
    sums.index_add_(0, places, w[active].double())
    return sums, places.bincount(minlength=size)


def _by_episode(
    w: Tensor, tokens: WeightedTokens, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """`w` with `change` applied to the active weights (n,) of each episode that has some."""
    changed = w.clone()
    for row, active in zip(changed, tokens.active, strict=True):
        if active.any():
            row[active] = change(row[active])
    return changed


_MOVES: Mapping[str, Move] = {
    "shuffled": _shuffled,
    "rotated": _rotated,
    "swapped": _swapped,
    "constant": _constant,
    "step_mean": _step_mean,
    "place": _place,
    "inverted": _inverted,
}
