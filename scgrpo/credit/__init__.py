"""Per-token credit: how much of the update each token gets."""

from scgrpo.credit.options import Control, CreditOptions, ReferenceLimits, Scope
from scgrpo.credit.references import Case, Routes, peers, route
from scgrpo.credit.self_conditioned import advantages, summary, weights

__all__ = [
    "Case",
    "Control",
    "CreditOptions",
    "ReferenceLimits",
    "Routes",
    "Scope",
    "advantages",
    "peers",
    "route",
    "summary",
    "weights",
]
