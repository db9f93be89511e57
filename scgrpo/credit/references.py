"""Reference assignment: which episode each row is conditioned on (arXiv:2606.18810).

STATED: the paper says it. CHOSEN: the paper is silent and this is our decision.
B is the number of episodes in the batch, G of those in one group, n of the verified ones of the G.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from scgrpo.credit.options import CreditOptions

__all__ = ["Case", "References", "assign_references", "draw_peer_references"]

NONE = -1


class Case(IntEnum):
    """What a group's n verified episodes of G make of it."""

    WEIGHTED = 0
    """2 <= n < G: GRPO's advantage, weight w (STATED)."""
    DIVERSITY = 1
    """n = 0: advantage alpha_div * A_div, weight w (STATED)."""
    UNWEIGHTED_SINGLE = 2
    """n = 1: GRPO, weight 1 (STATED)."""
    UNWEIGHTED_ALL = 3
    """n = G: GRPO, whose advantage is 0 (STATED)."""
    WEIGHTED_SINGLE = 4
    """n = 1 with `weight_single`: as WEIGHTED; the verified one has none, hence weight 1."""
    UNWEIGHTED_NONE = 5
    """n = 0 with `alpha_div` 0: GRPO, whose advantage is 0."""

    @property
    def label(self) -> str:
        """The name in metrics and credit records; files of every version say `plain_...`."""
        return self.name.lower().replace("unweighted", "plain")


@dataclass(frozen=True)
class References:
    """Which episode each row is conditioned on: rows of the batch, -1 for none.

    | field | meaning |
    |---|---|
    | reference | (B,) int64, the row shown to the teacher; rows with one are the weighted rows |
    | negative_reference | (B,) int64, the failed row to contrast with, under `contrastive` |
    | case | (B,) int64, values of `Case` |
    | overflow | (B,) bool, the row lost its reference because the teacher's input was too long |
    """

    reference: Tensor
    negative_reference: Tensor
    case: Tensor
    overflow: Tensor

    @classmethod
    def none(cls, rows: int) -> References:
        """No row has a reference: every group is UNWEIGHTED_ALL."""
        no_reference = torch.full((rows,), NONE, dtype=torch.int64)
        case = torch.full_like(no_reference, Case.UNWEIGHTED_ALL)
        overflow = torch.zeros(rows, dtype=torch.bool)
        return cls(no_reference, no_reference, case, overflow)

    @property
    def weighted(self) -> Tensor:
        """(B,) bool: rows that have a reference."""
        return self.reference >= 0

    def without(self, overflow: Tensor) -> References:
        """The references if the rows of `overflow` (B,) bool cannot be scored: weight 1, counted.

        A row whose negative reference alone does not fit is such a row too.
        """
        lost = overflow & self.weighted
        return replace(
            self,
            reference=self.reference.masked_fill(lost, NONE),
            negative_reference=self.negative_reference.masked_fill(lost, NONE),
            overflow=self.overflow | lost,
        )


def assign_references(
    verified: Tensor, group: Tensor, rng: np.random.Generator, options: CreditOptions
) -> References:
    """Draws every row's reference. verified (B,) bool, group (B,) -> References.

    2 <= n < G: a uniform draw per episode from the group's verified ones, never itself (STATED).
    n = 0: one episode r, drawn uniformly; the others are scored against it, r has none (STATED).
    n = 1 or n = G: none (STATED).

    `contrastive`: the negative reference is a uniform draw from the group's failed ones, never
    itself. A row with none to draw (it is the only failed one), and a row of an n = 0 group, which
    has no verified one, keeps its one-sided D.

    Control `wrong_ref`: the reference is a uniform draw from the rows of other groups with the same
    verdict as the one it replaces (for n = 0 one draw for the group, and the row r has none as
    before). If there is no such row, as in a batch of one task, there is no reference and the
    weight is 1. It takes a group for a task: a task must not stand in two groups of the batch.
    """
    passed = verified.cpu().numpy()
    groups = group.cpu().numpy()
    reference = np.full(len(groups), NONE, dtype=np.int64)
    negative = reference.copy()
    case = reference.copy()

    # In the order of the groups' numbers: the draws of a seed depend on it.
    for g in np.unique(groups):
        rows = np.flatnonzero(groups == g)
        successes = int(passed[rows].sum())
        kind = _case(successes, len(rows), options)
        case[rows] = kind
        pool = rows
        if options.control == "wrong_ref":
            pool = np.flatnonzero(groups != g)

        if kind in (Case.WEIGHTED, Case.WEIGHTED_SINGLE):
            _draw_verified(
                rows,
                pool,
                passed,
                reference,
                negative,
                rng,
                options,
            )
        elif kind is Case.DIVERSITY:
            _draw_for_diversity(rows, pool, passed, reference, rng)

    return References(
        reference=torch.from_numpy(reference).to(group.device),
        negative_reference=torch.from_numpy(negative).to(group.device),
        case=torch.from_numpy(case).to(group.device),
        overflow=torch.zeros_like(group, dtype=torch.bool),
    )


def draw_peer_references(
    verified: Tensor, group: Tensor, rng: np.random.Generator
) -> Tensor:
    """A uniform draw from the group's other verified episodes, -1 for none. (B,), (B,) -> (B,).

    For self-distillation: also if n = 1 (but for the verified one itself) and if n = G.
    """
    passed = verified.cpu().numpy()
    groups = group.cpu().numpy()
    references: list[int] = []
    for row, g in enumerate(groups):
        pool = np.flatnonzero(passed & (groups == g))
        references.append(_draw(pool, row, rng))
    return torch.tensor(references, dtype=torch.int64)


def _draw_verified(
    rows: np.ndarray,
    pool: np.ndarray,
    passed: np.ndarray,
    reference: np.ndarray,
    negative: np.ndarray,
    rng: np.random.Generator,
    options: CreditOptions,
) -> None:
    """Writes each row's draw among the verified rows of `pool`, and its negative one."""
    verified = pool[passed[pool]]
    failed = rows[~passed[rows]]
    if options.shared_reference:
        verified = rng.permutation(verified)
    for row in rows.tolist():
        candidates = verified[verified != row]
        if options.shared_reference:
            # The first of one order for all is uniform for each of them, itself left out.
            candidates = candidates[:1]
        reference[row] = _draw(candidates, NONE, rng)
        # Without a verified reference there is nothing to contrast with.
        if options.contrastive and reference[row] != NONE:
            negative[row] = _draw(failed, row, rng)


def _draw_for_diversity(
    rows: np.ndarray,
    pool: np.ndarray,
    passed: np.ndarray,
    reference: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Writes the one draw for a group without a success; the row r itself gets none."""
    r = _draw(rows, NONE, rng)
    if pool is rows:
        reference[rows] = r
    else:
        failed = pool[~passed[pool]]
        reference[rows] = _draw(failed, NONE, rng)
    reference[r] = NONE


def _case(n: int, size: int, options: CreditOptions) -> Case:
    if n == size:
        return Case.UNWEIGHTED_ALL
    if n == 0:
        return Case.DIVERSITY if options.alpha_div > 0 else Case.UNWEIGHTED_NONE
    if n == 1:
        is_weighted = options.weight_single
        return Case.WEIGHTED_SINGLE if is_weighted else Case.UNWEIGHTED_SINGLE
    return Case.WEIGHTED


def _draw(pool: np.ndarray, excluded: int, rng: np.random.Generator) -> int:
    """A uniform draw from the rows of `pool` but `excluded`; NONE if nothing is left."""
    candidates = pool[pool != excluded]
    if not len(candidates):
        return NONE
    place = rng.integers(len(candidates))
    return int(candidates[place])
