"""Credit for the tokens at which the policy hesitates: those of highest entropy.

Source: arXiv:2506.01939: a fifth of the tokens gives as good a gradient as all of them.
Axes: B episodes, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor

from scgrpo.credit.controls import controlled_weights
from scgrpo.credit.options import WEIGHT_CONTROLS, CreditOptions
from scgrpo.credit.rule import Credit

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward

__all__ = ["TopEntropy", "top_entropy"]


@dataclass(frozen=True)
class TopEntropy:
    """Weight 1 at the `share` of the batch's action tokens with the highest entropy, 0 elsewhere.

    Raises ValueError for a share outside (0, 1], and for a control of something else than weights.
    """

    share: float
    options: CreditOptions = CreditOptions()
    reads_options: ClassVar[frozenset[str]] = frozenset({"control"})

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"TopEntropy.share must be in (0, 1], got {self.share}")
        if self.options.control not in ("none", *WEIGHT_CONTROLS):
            raise ValueError(
                f"credit.control={self.options.control} has no effect on the tokens of highest "
                f"entropy, which need no reference; use one of {', '.join(WEIGHT_CONTROLS)}"
            )

    def __call__(
        self, forward: BatchForward, advantage: Tensor, rng: np.random.Generator
    ) -> Credit:
        """Weight 0 or 1; the algorithm's advantage."""
        mask = forward.batch.action_mask
        entropy = forward.entropy(range(len(mask)))
        w = top_entropy(entropy, mask, self.share).float()
        w = controlled_weights(w, mask, forward, advantage, self.options, rng)
        return Credit(w, advantage)


def top_entropy(entropy: Tensor, action_mask: Tensor, share: float) -> Tensor:
    """The `share` of the batch's action tokens with the highest entropy. (B, T) twice -> (B, T).

    Bool. At least one token; ties with the last one of them are included.
    Source: arXiv:2506.01939.
    """
    ordered = entropy[action_mask].sort(descending=True).values
    if not len(ordered):
        return action_mask
    count = max(1, round(share * len(ordered)))
    threshold = ordered[count - 1]
    return action_mask & (entropy >= threshold)
