"""What self-conditioned credit can be asked to do differently, and how much a teacher is shown.

STATED: the paper (arXiv:2606.18810) says it. CHOSEN: the paper is silent and this is our decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = ["Control", "CreditOptions", "ReferenceLimits", "Scope"]

Scope = Literal["step", "micro_batch"]
Control = Literal["none", "shuffled", "constant", "entropy", "wrong_ref"]


@dataclass(frozen=True)
class CreditOptions:
    """How credit is given; the defaults are the paper, but for the scope.

    | field | meaning |
    |---|---|
    | scope | what shares a percentile: `micro_batch` (STATED), or the whole `step` (CHOSEN) |
    | percentile | quantile of D that is used as c (STATED 0.75) |
    | floor | lower bound of c (STATED 1e-4) |
    | normalize_weights | scale w to mean 1 over the active tokens of its scope (STATED off) |
    | weight_single | weigh failed episodes of n = 1 groups (STATED off: it collapsed entropy) |
    | contrastive | D = max(0, D(verified) - D(failed reference)) (arXiv:2606.11709) |
    | alpha_div | scale of the advantage of n = 0 groups (STATED 0.1); 0 switches that branch off |
    | shared_reference | a group's rows share one draw, and its row has another: as uniform, |
    | | cheaper (CHOSEN off) |
    | control | `none`, or a weight that should not work, for the proof (CHOSEN) |

    The scope `step` does not change with packing or with the number of devices.
    Controls: `shuffled` permutes w within each episode; `constant` puts the episode's mean w at
    each token; `entropy` makes w of the policy's entropy instead of D; `wrong_ref` takes
    references from other tasks.

    Raises ValueError for values out of range, and for `contrastive` with control `entropy`, which
    looks at no divergence.
    """

    scope: Scope = "step"
    percentile: float = 0.75
    floor: float = 1e-4
    normalize_weights: bool = False
    weight_single: bool = False
    contrastive: bool = False
    alpha_div: float = 0.1
    shared_reference: bool = False
    control: Control = "none"

    def __post_init__(self) -> None:
        _check_choice("scope", self.scope, Scope)
        _check_choice("control", self.control, Control)
        if not 0.0 <= self.percentile <= 1.0:
            raise ValueError(
                f"credit.percentile must be in [0, 1], got {self.percentile}"
            )
        # `not >` refuses NaN as well.
        if not self.floor > 0.0:
            raise ValueError(f"credit.floor must be positive, got {self.floor}")
        if not self.alpha_div >= 0.0:
            raise ValueError(
                f"credit.alpha_div must be 0 or more, got {self.alpha_div}"
            )

        if self.contrastive and self.control == "entropy":
            raise ValueError(
                "credit.contrastive has no effect with control=entropy; set one only"
            )


@dataclass(frozen=True)
class ReferenceLimits:
    """How much of a reference episode the teacher is shown.

    | field | meaning |
    |---|---|
    | tokens | most tokens that guide and reference add to the teacher's prompt |
    | observation_chars | each reply in it is cut to this |
    | input_tokens | longest teacher input; a longer row loses its reference and is counted |
    """

    tokens: int = 512
    observation_chars: int = 400
    input_tokens: int = 4096


def _check_choice(name: str, value: str, choices: Any) -> None:
    options = get_args(choices)
    if value not in options:
        raise ValueError(
            f"credit.{name} must be one of {', '.join(options)}, got {value!r}"
        )
