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

__all__ = [
    "Case",
    "References",
    "assign_references",
    "draw_peer_references",
    "weight_log",
]

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
    | further | (B,) int64 each: the second, third, ... row shown, -1 if the group has no more |
    | further_negative | likewise for the failed rows |
    | overflow | (B,) bool, the row lost its reference because the teacher's input was too long |
    """

    reference: Tensor
    negative_reference: Tensor
    case: Tensor
    overflow: Tensor
    further: tuple[Tensor, ...] = ()
    further_negative: tuple[Tensor, ...] = ()

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

    @property
    def verified_draws(self) -> tuple[Tensor, ...]:
        """(B,) int64 each: `reference` and the further ones."""
        return (self.reference, *self.further)

    @property
    def negative_draws(self) -> tuple[Tensor, ...]:
        """(B,) int64 each: `negative_reference` and the further ones."""
        return (self.negative_reference, *self.further_negative)

    def without(self, overflow: Tensor) -> References:
        """The references if the rows of `overflow` (B,) bool cannot be scored: weight 1, counted.

        A row of whose references one alone does not fit, of either kind, is such a row too.
        """
        lost = overflow & self.weighted
        return replace(self.of_rows(~lost), overflow=self.overflow | lost)

    def of_rows(self, rows: Tensor) -> References:
        """The references of `rows` (B,) bool alone; the others have weight 1."""
        reference, *further = (d.masked_fill(~rows, NONE) for d in self.verified_draws)
        negative, *negatives = (d.masked_fill(~rows, NONE) for d in self.negative_draws)
        return replace(
            self,
            reference=reference,
            negative_reference=negative,
            further=tuple(further),
            further_negative=tuple(negatives),
        )


def assign_references(
    verified: Tensor,
    group: Tensor,
    rng: np.random.Generator,
    options: CreditOptions,
    *,
    count: int = 1,
    negative_count: int | None = None,
) -> References:
    """Draws every row's references. verified (B,) bool, group (B,) -> References.

    `count` verified ones and `negative_count` failed ones (None: one if `contrastive`, else none),
    without replacement, while there are that many; a group without a success shows one alone.

    2 <= n < G: a uniform draw per episode from the group's verified ones, never itself (STATED).
    n = 0: one episode r, drawn uniformly; the others are scored against it, r has none (STATED).
    n = 1 or n = G: none (STATED).

    A negative reference is a uniform draw from the group's failed ones, never the row itself. A row
    with none to draw (it is the only failed one), and a row of an n = 0 group, which has no
    verified one, has no negative reference: under `contrastive` it keeps its one-sided D.

    Control `wrong_ref`: the reference is a uniform draw from the rows of other groups with the same
    verdict as the one it replaces (for n = 0 one draw for the group, and the row r has none as
    before), and so is a negative one. If there is no such row, as in a batch of one task, there is
    no reference and the weight is 1. It takes a group for a task: a task must not stand in two
    groups of the batch.
    """
    passed = verified.cpu().numpy()
    groups = group.cpu().numpy()
    if negative_count is None:
        negative_count = int(options.contrastive)
    # A column for each draw; the first is there even if nothing is drawn.
    reference = np.full((len(groups), max(count, 1)), NONE, dtype=np.int64)
    negative = np.full((len(groups), max(negative_count, 1)), NONE, dtype=np.int64)
    case = np.full(len(groups), NONE, dtype=np.int64)

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
                negative_count,
            )
        elif kind is Case.DIVERSITY:
            _draw_for_diversity(rows, pool, passed, reference[:, 0], rng)

    first, *further = torch.from_numpy(reference).to(group.device).unbind(1)
    first_negative, *negatives = torch.from_numpy(negative).to(group.device).unbind(1)
    return References(
        reference=first,
        negative_reference=first_negative,
        case=torch.from_numpy(case).to(group.device),
        overflow=torch.zeros_like(group, dtype=torch.bool),
        further=tuple(further),
        further_negative=tuple(negatives),
    )


def weight_log(
    w: Tensor, action_mask: Tensor, group: Tensor, references: References
) -> dict[str, float]:
    """What to log of the weights w (B, T) by case; a key without tokens is left out.

    | key | meaning |
    |---|---|
    | credit/mean_w/<case> | mean w over action tokens of the case's rows (n = 0: without r) |
    | credit/weighted_groups | share of groups in the cases WEIGHTED and WEIGHTED_SINGLE |
    | credit/overflow | rows that lost their reference |
    | credit/overflow_share | of the rows that were to have one |
    """
    overflow = references.overflow
    expected = int((overflow | references.weighted).sum())
    log = {"credit/overflow": float(overflow.sum())}
    if expected:
        log["credit/overflow_share"] = float(overflow.sum()) / expected
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
    log["credit/weighted_groups"] = weighted_groups / group.unique().numel()
    return log


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
    negative_count: int,
) -> None:
    """Writes each row's draws among the verified rows of `pool`, and its negative ones."""
    verified = pool[passed[pool]]
    failed = pool[~passed[pool]]
    count = reference.shape[1]
    if options.shared_reference:
        # One order for all: its first ones are uniform for each row, itself left out.
        verified = rng.permutation(verified)
        failed = rng.permutation(failed) if negative_count else failed
    draws = _first if options.shared_reference else _draws
    for row in rows.tolist():
        reference[row] = draws(verified, row, count, rng)
        # Without a verified reference there is nothing to contrast with.
        if negative_count and reference[row, 0] != NONE:
            negative[row] = draws(failed, row, negative_count, rng)


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


def _first(
    pool: np.ndarray, excluded: int, count: int, rng: np.random.Generator
) -> list[int]:
    """The first `count` rows of `pool` but `excluded`; NONE for those that it lacks."""
    rows = pool[pool != excluded][:count].tolist()
    return rows + [NONE] * (count - len(rows))


def _draws(
    pool: np.ndarray, excluded: int, count: int, rng: np.random.Generator
) -> list[int]:
    """`count` different uniform draws, as `_draw` makes each; NONE once nothing is left."""
    rows: list[int] = []
    for _ in range(count):
        rows.append(_draw(pool, excluded, rng))
        pool = pool[pool != rows[-1]]
    return rows


def _draw(pool: np.ndarray, excluded: int, rng: np.random.Generator) -> int:
    """A uniform draw from the rows of `pool` but `excluded`; NONE if nothing is left."""
    candidates = pool[pool != excluded]
    if not len(candidates):
        return NONE
    place = rng.integers(len(candidates))
    return int(candidates[place])
