"""What the teacher of each row is shown: its references as prompts, one of each in a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scgrpo.credit.options import CreditOptions
from scgrpo.credit.references import References

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward
    from scgrpo.models.packing import TokenIds

__all__ = ["ShownReferences", "shown_references"]


@dataclass(frozen=True)
class ShownReferences:
    """Prompts of a batch's rows, by row; each mapping is of one draw and one teacher's pass.

    | field | meaning |
    |---|---|
    | references | which rows they show, less those of rows that do not fit |
    | verified | a prompt for each row that has such a draw, in the order of `verified_draws` |
    | negative | likewise of `negative_draws` |
    """

    references: References
    verified: Sequence[dict[int, TokenIds]]
    negative: Sequence[dict[int, TokenIds]]


def shown_references(
    forward: BatchForward, references: References, options: CreditOptions
) -> ShownReferences:
    """The prompts of `references`. A row that lacks one, for want of room, loses all of them.

    Under the control `no_ref` a prompt has the sentence that introduces a reference, and none.
    """
    guide_only = options.control == "no_ref"
    verified: list[dict[int, TokenIds]] = []
    negative: list[dict[int, TokenIds]] = []
    overflow = torch.zeros(len(references.reference), dtype=torch.bool)
    kinds = (
        (references.verified_draws, verified),
        (references.negative_draws, negative),
    )
    for draws, prompts_of_kind in kinds:
        for draw in draws:
            prompts = forward.reference_prompts(references, draw, guide_only=guide_only)
            overflow |= _missing(draw, prompts)
            prompts_of_kind.append(prompts)
    return ShownReferences(references.without(overflow), verified, negative)


def _missing(draw: Tensor, prompts: dict[int, TokenIds]) -> Tensor:
    """(B,) bool: rows with a reference of this draw (B,) for which there is no prompt."""
    missing = draw >= 0
    missing[list(prompts)] = False
    return missing
