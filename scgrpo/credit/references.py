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

__all__ = ["Case", "References", "draw_peer_references", "assign_references"]

NONE = -1


class Case(IntEnum):
    """What a group's n verified episodes of G make of it."""

    WEIGHTED = 0
    """2 <= n < G: GRPO's advantage, weight w (STATED)."""
    DIVERSITY = 1
    """n = 0: advantage alpha_div * A_div, weight w (STATED)."""
    PLAIN_SINGLE = 2
    """n = 1: plain GRPO (STATED)."""
    PLAIN_ALL = 3
    """n = G: plain GRPO, whose advantage is 0 (STATED)."""
    WEIGHTED_SINGLE = 4
    """n = 1 with `weight_single`: as WEIGHTED; the verified one has none, hence weight 1."""
    PLAIN_NONE = 5
    """n = 0 with `alpha_div` 0: plain GRPO, whose advantage is 0."""


@dataclass(frozen=True)
class References:
    """Which episode each row is conditioned on: rows of the batch, -1 for none.

    | field | meaning |
    |---|---|
    | reference | (B,) int64, the row shown to the teacher; rows with one are the weighted rows |
    | wrong_reference | (B,) int64, the failed row to contrast with, under `contrastive` |
    | case | (B,) int64, values of `Case` |
    | overflow | (B,) bool, the row lost its reference because the teacher's input was too long |
    """

    reference: Tensor
    wrong_reference: Tensor
    case: Tensor
    overflow: Tensor

    @classmethod
    def none(cls, rows: int) -> References:
        """No row has a reference: every group is PLAIN_ALL."""
        nobody = torch.full((rows,), NONE, dtype=torch.int64)
        plain = torch.full_like(nobody, Case.PLAIN_ALL)
        return cls(nobody, nobody, plain, torch.zeros(rows, dtype=torch.bool))

    @property
    def weighted(self) -> Tensor:
        """(B,) bool: rows that have a reference."""
        return self.reference >= 0

    def without(self, overflow: Tensor) -> References:
        """The references if the rows of `overflow` (B,) bool cannot be scored: weight 1, counted.

        A row whose wrong reference alone does not fit is such a row too.
        """
        lost = overflow & self.weighted
        return replace(
            self,
            reference=self.reference.masked_fill(lost, NONE),
            wrong_reference=self.wrong_reference.masked_fill(lost, NONE),
            overflow=self.overflow | lost,
        )


def assign_references(
    verified: Tensor, group: Tensor, rng: np.random.Generator, options: CreditOptions
) -> References:
    """Draws every row's reference. verified (B,) bool, group (B,) -> References.

    2 <= n < G: a uniform draw per episode from the group's verified ones, never itself (STATED).
    n = 0: one episode r, drawn uniformly; the others are scored against it, r has none (STATED).
    n = 1 or n = G: none (STATED).

    `contrastive`: the wrong reference is a uniform draw from the group's failed ones, never itself.
    A row with none to draw (it is the only failed one), and a row of an n = 0 group, which has no
    right one, keeps its one-sided D.

    Control `wrong_ref`: the reference is a uniform draw from the rows of other groups with the same
    verdict as the one it replaces (for n = 0 one draw for the group, and the row r has none as
    before). Where there is no such row, as in a batch of one task, there is no reference and the
    weight is 1. It takes a group for a task: a task must not stand in two groups of the batch.
    """
    passed, groups = verified.cpu().numpy(), group.cpu().numpy()
    reference, wrong, case = (
        np.full(len(groups), NONE, dtype=np.int64) for _ in range(3)
    )
    for g in np.unique(groups):
        rows = np.flatnonzero(groups == g)
        pool = np.flatnonzero(groups != g) if options.control == "wrong_ref" else rows
        kind = _case(int(passed[rows].sum()), len(rows), options)
        case[rows] = kind
        if kind in (Case.WEIGHTED, Case.WEIGHTED_SINGLE):
            right = pool[passed[pool]]
            right = rng.permutation(right) if options.shared_draw else right
            for row in rows.tolist():
                others = right[right != row]
                reference[row] = _draw(
                    others[:1] if options.shared_draw else others, NONE, rng
                )
                if options.contrastive and reference[row] != NONE:
                    wrong[row] = _draw(rows[~passed[rows]], row, rng)
        elif kind is Case.DIVERSITY:
            r = _draw(rows, NONE, rng)
            reference[rows] = (
                r if pool is rows else _draw(pool[~passed[pool]], NONE, rng)
            )
            reference[r] = NONE
    tensors = [
        torch.from_numpy(rows).to(group.device) for rows in (reference, wrong, case)
    ]
    return References(*tensors, overflow=torch.zeros_like(group, dtype=torch.bool))


def draw_peer_references(
    verified: Tensor, group: Tensor, rng: np.random.Generator
) -> Tensor:
    """A uniform draw from the group's other verified episodes, -1 for none. (B,), (B,) -> (B,).

    For self-distillation: also where n = 1 (but for the verified one itself) and n = G.
    """
    passed, groups = verified.cpu().numpy(), group.cpu().numpy()
    drawn = [
        _draw(np.flatnonzero(passed & (groups == g)), i, rng)
        for i, g in enumerate(groups)
    ]
    return torch.tensor(drawn, dtype=torch.int64)


def _case(n: int, size: int, options: CreditOptions) -> Case:
    if n == size:
        return Case.PLAIN_ALL
    if n == 0:
        return Case.DIVERSITY if options.alpha_div > 0 else Case.PLAIN_NONE
    if n == 1:
        return Case.WEIGHTED_SINGLE if options.weight_single else Case.PLAIN_SINGLE
    return Case.WEIGHTED


def _draw(pool: np.ndarray, never: int, rng: np.random.Generator) -> int:
    """A uniform draw from the rows of `pool` but `never`; NONE where nothing is left."""
    pool = pool[pool != never]
    return int(pool[rng.integers(len(pool))]) if len(pool) else NONE
