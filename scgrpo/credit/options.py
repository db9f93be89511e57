"""What self-conditioned credit can be asked to do differently, and how much a teacher is shown.

STATED: the paper (arXiv:2606.18810) says it. CHOSEN: the paper is silent and this is our decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

__all__ = [
    "EVIDENCE_CONTROLS",
    "REFERENCE_CONTROLS",
    "WEIGHT_CONTROLS",
    "Control",
    "CreditOptions",
    "ReferenceLimits",
    "Scope",
]

Scope = Literal["step", "micro_batch", "turn"]
Control = Literal[
    "none",
    "shuffled",
    "rotated",
    "swapped",
    "constant",
    "step_mean",
    "place",
    "inverted",
    "unsigned",
    "entropy",
    "wrong_ref",
    "no_ref",
]

WEIGHT_CONTROLS = (
    "shuffled",
    "rotated",
    "swapped",
    "constant",
    "step_mean",
    "place",
    "inverted",
)
"""Controls that move a rule's finished weights: `scgrpo.credit.controls` says how each does."""
EVIDENCE_CONTROLS = ("unsigned", "entropy")
"""Controls that replace what the weight is made of."""
REFERENCE_CONTROLS = ("wrong_ref", "no_ref")
"""Controls that replace what the teacher is shown."""


PROMPT_TOKENS = 128
"""Of an episode, that a reference does not repeat: its prompt."""


@dataclass(frozen=True)
class CreditOptions:
    """How credit is given; the defaults are the paper, but for the scope.

    | field | meaning |
    |---|---|
    | scope | what shares a percentile: `micro_batch` (STATED), the whole `step` (CHOSEN), or a |
    | | single `turn` (CHOSEN) |
    | percentile | quantile of D that is used as c (STATED 0.75) |
    | above_noise | take it over the tokens alone whose D is above credit/d_noise (CHOSEN off) |
    | floor | lower bound of c (STATED 1e-4), and of other rules' scales |
    | normalize_weights | scale w to mean 1 over the active tokens of its scope (STATED off) |
    | weight_single | weigh failed episodes of n = 1 groups (STATED off: it collapsed entropy) |
    | contrastive | D = max(0, D(verified) - D(failed reference)) (arXiv:2606.11709) |
    | alpha_div | scale of the advantage of n = 0 groups (STATED 0.1); 0 switches that branch off |
    | references | references of a kind that each row is shown, in a pass each, while the group |
    | | has that many; 0: the rule's own number |
    | shared_reference | a group's rows share one draw, and its row has another: as uniform, |
    | | cheaper (CHOSEN off) |
    | control | `none`, or a weight that should not work, for the proof (CHOSEN) |

    The scope `step` does not change with packing or with the number of devices. A rule that does
    not read one of these refuses it.

    | value of control | what it gives |
    |---|---|
    | shuffled | an episode's weights, permuted |
    | rotated | an episode's weights, moved on circularly by a random number of its action tokens |
    | swapped | the weights of another episode of the group at the same places |
    | constant | an episode's mean weight at each token |
    | step_mean | the mean weight of the step at every token |
    | place | the mean weight of other groups at the same place of a turn |
    | inverted | an episode's weights, the largest where the smallest was |
    | unsigned | the rule's weight if the size of the evidence counts and its sign does not |
    | entropy | the rule's weight with the policy's entropy as its evidence |
    | wrong_ref | references of other tasks |
    | no_ref | the sentence that introduces a reference, and no reference |

    Raises ValueError for values out of range, and for `contrastive` with control `entropy`, which
    looks at no divergence.
    """

    scope: Scope = "step"
    percentile: float = 0.75
    above_noise: bool = False
    floor: float = 1e-4
    normalize_weights: bool = False
    weight_single: bool = False
    contrastive: bool = False
    alpha_div: float = 0.1
    references: int = 0
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
        if self.references < 0:
            raise ValueError(
                "credit.references must be 0 (the rule's own number) or more, "
                f"got {self.references}"
            )

        if self.contrastive and self.control == "entropy":
            raise ValueError(
                "credit.contrastive has no effect with control=entropy; set one only"
            )


@dataclass(frozen=True)
class ReferenceLimits:
    """How much of a reference episode the teacher is shown.

    Of long episodes a default of tokens or input_tokens means more: all but 128 of
    limits.episode_tokens, and twice those.

    | field | meaning |
    |---|---|
    | tokens | most tokens that guide and reference add to the teacher's prompt |
    | observation_chars | each reply in it is cut to this |
    | input_tokens | longest teacher input; a longer row loses its reference and is counted |
    """

    tokens: int = 512
    observation_chars: int = 400
    input_tokens: int = 4096

    def for_episodes(self, episode_tokens: int) -> ReferenceLimits:
        """The limits for episodes of at most that many tokens: what is left at a default grows.

        Otherwise long episodes would lose their references, and weights be 1 everywhere.
        """
        tokens, input_tokens = self.tokens, self.input_tokens
        if tokens == ReferenceLimits.tokens:
            tokens = max(tokens, episode_tokens - PROMPT_TOKENS)
        if input_tokens == ReferenceLimits.input_tokens:
            input_tokens = max(input_tokens, 2 * episode_tokens)
        return replace(self, tokens=tokens, input_tokens=input_tokens)


def _check_choice(name: str, value: str, choices: Any) -> None:
    options = get_args(choices)
    if value not in options:
        raise ValueError(
            f"credit.{name} must be one of {', '.join(options)}, got {value!r}"
        )
