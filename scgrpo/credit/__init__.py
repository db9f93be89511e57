"""Per-token credit: how much of the update each token gets.

`rule` says what a credit rule is; each other module is one rule, or a part of one.
"""

from scgrpo.credit.options import Control, CreditOptions, ReferenceLimits, Scope
from scgrpo.credit.per_turn import PerTurn
from scgrpo.credit.references import (
    Case,
    References,
    assign_references,
    draw_peer_references,
)
from scgrpo.credit.rule import Credit, CreditRule, reads_references, uniform
from scgrpo.credit.self_conditioned import SelfConditioned, advantages, summary, weights
from scgrpo.credit.top_entropy import TopEntropy, top_entropy

__all__ = [
    "Case",
    "Control",
    "Credit",
    "CreditOptions",
    "CreditRule",
    "PerTurn",
    "ReferenceLimits",
    "References",
    "Scope",
    "SelfConditioned",
    "TopEntropy",
    "advantages",
    "draw_peer_references",
    "reads_references",
    "assign_references",
    "summary",
    "top_entropy",
    "uniform",
    "weights",
]
