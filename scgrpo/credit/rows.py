"""The credit of a step's episodes as rows of its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scgrpo.batch import Batch
from scgrpo.credit.record import NO_REFERENCES, CreditRow
from scgrpo.credit.references import Case
from scgrpo.credit.rule import Credit

__all__ = ["credit_rows", "skipped_rows"]


def credit_rows(
    places: Sequence[int], batch: Batch, credit: Credit, entropy: Mapping[int, Tensor]
) -> list[CreditRow]:
    """What the episodes of a batch got, whose row b is the episode at `places[b]` of the step.

    `entropy` holds (|o_b|,) nats for each row b that was read. D is 0 if the rule has none.
    """
    divergence = credit.divergence
    if divergence is None:
        divergence = torch.zeros_like(credit.weight)

    # The file counts places of the step's episodes, the batch only those learned from.
    rows: list[CreditRow] = []
    for row, place in enumerate(places):
        mask = batch.action_mask[row]
        reference, case = _reference_and_case(credit, row, places)
        rows.append(
            CreditRow(
                episode=place,
                group=int(batch.group[row]),
                reference=reference,
                case=case,
                advantage=_mean(credit.advantage[row], mask),
                divergence=divergence[row][mask].tolist(),
                weight=credit.weight[row][mask].tolist(),
                entropy=entropy[row].tolist() if row in entropy else (),
            )
        )
    return rows


def _reference_and_case(
    credit: Credit, row: int, places: Sequence[int]
) -> tuple[int | None, str]:
    """The place of the row's reference, and its case."""
    references = credit.references
    if references is None:
        return None, NO_REFERENCES
    case = Case(int(references.case[row])).label
    reference = int(references.reference[row])
    if reference < 0:
        return None, case
    return places[reference], case


def _mean(advantage: Tensor, mask: Tensor) -> float:
    """The episode's one advantage, or the mean over its action tokens; 0 without any."""
    if advantage.dim() == 0:
        return float(advantage)
    return float(advantage[mask].mean()) if mask.any() else 0.0


def skipped_rows(
    places: Sequence[int], group: Sequence[int], reason: str
) -> list[CreditRow]:
    """Rows without credit of the episodes at `places`, for the case `reason`."""
    return [CreditRow(p, g, case=reason) for p, g in zip(places, group, strict=True)]
