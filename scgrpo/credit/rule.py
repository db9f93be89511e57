"""A credit rule: how much of the update each token gets, and with which sign.

A new rule is one file like its neighbours, and one line that names it: `credit=` of an algorithm.
Axes: B episodes, T tokens. An entry at [b, t] is about token t of episode b.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import Tensor

from scgrpo.credit.references import References

if TYPE_CHECKING:
    # Only the type: forward.py reads references, which are part of this package.
    from scgrpo.models.forward import BatchForward

__all__ = [
    "Credit",
    "CreditRule",
    "read_options",
    "reads_references",
    "reference_passes",
    "uniform",
]


@dataclass(frozen=True)
class Credit:
    """What one batch's tokens get. The gradient of a token is scaled by weight * advantage.

    | field | meaning |
    |---|---|
    | weight | (B, T) float32 on the CPU, finite at the action tokens; others are not looked at |
    | advantage | (B,) or (B, T) likewise; an episode of zeros alone is not read for the gradient |
    | divergence | (B, T), D in nats, stored with the episodes; None if the rule has none |
    | references | which episode each row was conditioned on; None if no row was |
    | log | what to log of the step |
    """

    weight: Tensor
    advantage: Tensor
    divergence: Tensor | None = None
    references: References | None = None
    log: Mapping[str, float] = field(default_factory=dict)

    def check(self, action_mask: Tensor) -> None:
        """Raises ValueError for a shape other than `action_mask`'s (B, T), a gradient, and NaN."""
        full = tuple(action_mask.shape)
        _check_tensor("weight", self.weight, [full], action_mask)
        _check_tensor("advantage", self.advantage, [full, full[:1]], action_mask)


class CreditRule(Protocol):
    """How much of the update each token gets.

    A function or a frozen dataclass, called once a step before the update. A rule that conditions
    rows on reference episodes says so with an attribute `reads_references = True`: then the
    settings `reference.*` apply to it, and `plan=true` counts its passes: one, or the attribute
    `reference_passes`. A dataclass whose field `options` is a `CreditOptions` names those that it
    reads in an attribute `reads_options`; the settings `credit.*` of these names apply to it.
    """

    def __call__(
        self, forward: BatchForward, advantage: Tensor, rng: np.random.Generator
    ) -> Credit:
        """The credit of the batch that `forward` reads.

        `advantage` (B,) is the algorithm's, one number for each episode. Under several processes
        each calls the rule with the same arguments and random numbers, and must get the same
        credit: what `forward` returns is whole in every process. No gradient may pass.
        """
        ...


def uniform(
    forward: BatchForward, advantage: Tensor, rng: np.random.Generator
) -> Credit:
    """Weight 1 at every action token of every episode."""
    return Credit(forward.batch.action_mask.float(), advantage)


def reads_references(rule: CreditRule) -> bool:
    """Whether the rule conditions rows on reference episodes."""
    return bool(getattr(rule, "reads_references", False))


def reference_passes(rule: CreditRule) -> int:
    """Most passes of the policy over a row with a reference in front of it."""
    return getattr(rule, "reference_passes", 1) if reads_references(rule) else 0


def read_options(rule: CreditRule) -> Collection[str]:
    """The names of the `credit.*` settings that the rule reads."""
    return getattr(rule, "reads_options", ())


def _check_tensor(
    name: str, value: Tensor, shapes: Sequence[tuple[int, ...]], action_mask: Tensor
) -> None:
    if tuple(value.shape) not in shapes:
        raise ValueError(
            f"the credit rule's {name} has shape {tuple(value.shape)}, expected "
            f"{' or '.join(map(str, shapes))}: start from the batch's action_mask or "
            "from the advantage that the rule gets"
        )
    # A gradient through the credit would train the rule, not the policy.
    if value.requires_grad:
        raise ValueError(
            f"the credit rule's {name} has a gradient, expected a constant: detach() it"
        )

    at_actions = value[action_mask] if value.dim() == 2 else value
    if not at_actions.isfinite().all():
        raise ValueError(
            f"the credit rule's {name} is not finite at every action token; "
            "guard its divisions and logarithms"
        )
