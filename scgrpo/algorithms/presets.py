"""Policy-gradient algorithms as values: an advantage, a normalisation, a clip, a credit rule.

Axes: B episodes, G episodes of one group, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from scgrpo.algorithms.advantages import (
    batch_z_score,
    group_z_score,
    leave_one_out,
    mean_difference,
    no_reward,
    overlong_penalty,
)
from scgrpo.algorithms.distillation import Distillation
from scgrpo.credit.options import CreditOptions
from scgrpo.credit.rule import Credit, CreditRule, uniform
from scgrpo.credit.self_conditioned import SelfConditioned
from scgrpo.credit.siblings.contrastive import Contrastive
from scgrpo.credit.siblings.disagreement import Disagreement
from scgrpo.credit.siblings.posterior import Posterior
from scgrpo.credit.siblings.rlsd import Rlsd
from scgrpo.credit.siblings.signed import Signed
from scgrpo.credit.siblings.turn_belief import TurnBelief
from scgrpo.credit.top_entropy import TopEntropy
from scgrpo.credit.turns.gigpo import gigpo_advantages
from scgrpo.credit.turns.graph import graph_advantages
from scgrpo.credit.turns.per_turn import PerTurn
from scgrpo.credit.turns.process_rewards import process_advantages

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward

__all__ = [
    "ALGORITHMS",
    "CONTRASTIVE",
    "DAPO",
    "DISAGREEMENT",
    "DISTILL_BOTH",
    "DISTILL_FORWARD",
    "DISTILL_REVERSE",
    "DR_GRPO",
    "ENTROPY_80_20",
    "GIGPO",
    "GRAPH",
    "GRPO",
    "GRPO_MEAN_W",
    "GSPO",
    "OPD",
    "OPSD",
    "OPSD_JSD",
    "PROCESS_GRPO",
    "REINFORCE_PP",
    "RLOO",
    "RLSD",
    "SC_GRPO",
    "SC_GRPO_ABOVE_NOISE",
    "SC_GRPO_PER_TURN",
    "SC_GRPO_PLUS",
    "SC_GRPO_WEIGHTS",
    "SIGNED",
    "TURN_BELIEF",
    "Algorithm",
    "per_budget",
    "per_episode",
    "per_token",
]


@dataclass(frozen=True)
class Algorithm:
    """What one algorithm does differently; the update and the loss know no names.

    | field | meaning |
    |---|---|
    | name | what `algo=` calls it |
    | source | the paper |
    | advantage | (rewards (B,), group (B,)) -> (B,) |
    | weight | (action_mask (B, T)) -> (B, T), normalised over the whole batch, 0 off the mask |
    | clip_low, clip_high | the ratio is clipped to [1 - clip_low, 1 + clip_high] |
    | sequence_ratio | the ratio is the geometric mean over the episode's tokens |
    | drop_uniform_groups | rows of groups with one outcome leave before weight is computed |
    | refill | with it: at most this many rounds of groups that replace the dropped ones |
    | overlong | share of the token budget at its end in which `overlong_penalty` grows; 0: none |
    | distill | a teacher's loss, summed with the same weight and added; None for none |
    | credit | how much of the update each token gets, a `CreditRule`; the default is uniform |
    """

    name: str
    source: str
    advantage: Callable[[Tensor, Tensor], Tensor]
    weight: Callable[[Tensor], Tensor]
    clip_low: float = 0.2
    clip_high: float = 0.2
    sequence_ratio: bool = False
    drop_uniform_groups: bool = False
    refill: int = 0
    overlong: float = 0.0
    distill: Distillation | None = None
    credit: CreditRule = uniform

    def __post_init__(self) -> None:
        if not (0.0 < self.clip_low < 1.0 and self.clip_high > 0.0):
            raise ValueError(
                f"{self.name}: clip_low must be in (0, 1) and clip_high positive, "
                f"got {self.clip_low} and {self.clip_high}"
            )
        if not 0.0 <= self.overlong < 1.0:
            raise ValueError(
                f"{self.name}: overlong must be in [0, 1), got {self.overlong}"
            )
        if self.refill and not self.drop_uniform_groups:
            raise ValueError(
                f"{self.name}: refill has no effect without drop_uniform_groups"
            )

    def credit_of(
        self,
        forward: BatchForward,
        rng: np.random.Generator,
        *,
        episode_tokens: int,
        play: Sequence[int] | None = None,
    ) -> Credit:
        """What the rule gives each token of a batch; `rng` draws references.

        `episode_tokens` is the token budget of an episode, for the overlong penalty. `play` is that
        of `Rows`, if some episodes have several conversations: an episode counts once in its group,
        and all of its conversations get its advantage. Raises ValueError if the rule cannot use the
        batch, or if what it gives does not fit it.
        """
        batch = forward.batch
        penalty = overlong_penalty(batch.real.sum(1), episode_tokens, self.overlong)
        count = len(batch.rewards) if play is None else len(set(play))
        rewards = (batch.rewards + penalty)[:count]
        advantage = self.advantage(rewards, batch.group[:count])
        if play is not None:
            advantage = advantage[list(play)]
        credit = self.credit(forward, advantage, rng)
        # A rule may be a user's own: what does not fit the batch is refused here.
        credit.check(batch.action_mask)
        return credit


def per_episode(action_mask: Tensor) -> Tensor:
    """1/B * 1/|o_i| on action tokens: the mean over tokens, then over episodes. (B, T) -> (B, T).

    With groups of equal size this is the mean over groups of the paper's 1/G sum_i. If ungraded
    episodes left some groups smaller, every episode still counts the same, so a group counts in
    proportion to its size. An episode without action tokens counts in B and weighs nothing.
    """
    lengths = action_mask.sum(1, keepdim=True).clamp_min(1)
    return action_mask / (lengths * len(action_mask))


def per_token(action_mask: Tensor) -> Tensor:
    """One over all action tokens of the batch, on each of them. (B, T) -> (B, T).

    Source: arXiv:2503.14476.
    """
    return action_mask / action_mask.sum().clamp_min(1)


def per_budget(tokens: int) -> Callable[[Tensor], Tensor]:
    """The weight 1 / (B * tokens) on action tokens: a divisor that no length enters.

    `tokens` = 1 is the sum over the episode. Source: arXiv:2503.20783.
    """

    def weight(action_mask: Tensor) -> Tensor:
        return action_mask / float(len(action_mask) * tokens)

    return weight


GRPO = Algorithm(
    name="grpo", source="arXiv:2402.03300", advantage=group_z_score, weight=per_episode
)
DAPO = replace(
    GRPO,
    name="dapo",
    source="arXiv:2503.14476",
    weight=per_token,
    clip_high=0.28,
    drop_uniform_groups=True,
    refill=3,
    overlong=0.2,
)
DR_GRPO = replace(
    GRPO,
    name="dr_grpo",
    source="arXiv:2503.20783",
    advantage=mean_difference,
    weight=per_budget(1024),
)
GSPO = replace(
    GRPO,
    name="gspo",
    source="arXiv:2507.18071",
    clip_low=3e-4,
    clip_high=4e-4,
    sequence_ratio=True,
)
RLOO = replace(
    GRPO,
    name="rloo",
    source="arXiv:2402.14740",
    advantage=leave_one_out,
    weight=per_budget(1),
)
REINFORCE_PP = replace(
    GRPO,
    name="reinforce_pp",
    source="arXiv:2501.03262",
    advantage=batch_z_score,
    weight=per_token,
)
ENTROPY_80_20 = replace(
    DAPO, name="entropy_80_20", source="arXiv:2506.01939", credit=TopEntropy(0.2)
)
SC_GRPO = replace(
    GRPO, name="sc_grpo", source="arXiv:2606.18810", credit=SelfConditioned()
)
SC_GRPO_WEIGHTS = replace(
    SC_GRPO,
    name="sc_grpo_weights",
    credit=SelfConditioned(CreditOptions(alpha_div=0.0)),
)
SC_GRPO_ABOVE_NOISE = replace(
    SC_GRPO,
    name="sc_grpo_above_noise",
    credit=SelfConditioned(CreditOptions(alpha_div=0.0, above_noise=True)),
)
SC_GRPO_PER_TURN = replace(
    SC_GRPO,
    name="sc_grpo_per_turn",
    credit=SelfConditioned(CreditOptions(alpha_div=0.0, scope="turn")),
)
GRPO_MEAN_W = replace(
    SC_GRPO,
    name="grpo_mean_w",
    credit=SelfConditioned(CreditOptions(alpha_div=0.0, control="step_mean")),
)
SC_GRPO_PLUS = replace(GRPO, name="sc_grpo_plus", source="ours", credit=Posterior())
CONTRASTIVE = replace(
    GRPO, name="contrastive", source="arXiv:2606.11709", credit=Contrastive()
)
RLSD = replace(GRPO, name="rlsd", source="arXiv:2604.03128", credit=Rlsd())
SIGNED = replace(GRPO, name="signed", source="arXiv:2608.14945", credit=Signed())
TURN_BELIEF = replace(
    GRPO, name="turn_belief", source="arXiv:2608.05987", credit=TurnBelief()
)
DISAGREEMENT = replace(
    GRPO,
    name="disagreement",
    source="scgrpo/credit/siblings/disagreement.py",
    credit=Disagreement(),
)

PROCESS_GRPO = replace(GRPO, name="process_grpo", credit=PerTurn(process_advantages))
GIGPO = replace(
    GRPO, name="gigpo", source="arXiv:2505.10978", credit=PerTurn(gigpo_advantages)
)
GRAPH = replace(
    GRPO, name="graph", source="arXiv:2605.26684", credit=PerTurn(graph_advantages)
)
DISTILL_FORWARD = replace(
    GRPO,
    name="distill_forward",
    source="arXiv:2606.18810, section 4.2",
    distill=Distillation("peer", "forward"),
)
DISTILL_REVERSE = replace(
    DISTILL_FORWARD, name="distill_reverse", distill=Distillation("peer", "reverse")
)
DISTILL_BOTH = replace(
    DISTILL_FORWARD, name="distill_both", distill=Distillation("peer", "both")
)
OPSD = replace(
    GRPO,
    name="opsd",
    source="arXiv:2601.18734",
    advantage=no_reward,
    distill=Distillation("gold", "forward"),
)
OPSD_JSD = replace(OPSD, name="opsd_jsd", distill=Distillation("gold", "jsd"))
OPD = replace(
    OPSD,
    name="opd",
    source="Thinking Machines, On-Policy Distillation",
    weight=per_token,
    distill=Distillation("model", "sampled"),
)

ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        GRPO,
        DAPO,
        DR_GRPO,
        GSPO,
        RLOO,
        REINFORCE_PP,
        ENTROPY_80_20,
        SC_GRPO,
        SC_GRPO_WEIGHTS,
        SC_GRPO_ABOVE_NOISE,
        SC_GRPO_PER_TURN,
        GRPO_MEAN_W,
        SC_GRPO_PLUS,
        CONTRASTIVE,
        RLSD,
        SIGNED,
        TURN_BELIEF,
        DISAGREEMENT,
        PROCESS_GRPO,
        GIGPO,
        GRAPH,
        DISTILL_FORWARD,
        DISTILL_REVERSE,
        DISTILL_BOTH,
        OPSD,
        OPSD_JSD,
        OPD,
    )
}
