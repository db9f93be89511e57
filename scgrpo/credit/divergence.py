"""How D is distributed over a step's tokens, and how much of it stands above numerical noise.

A model that does not read its references has a D of rounding errors, and so a weight of noise: D
between two passes over the same input that are packed otherwise says how large these errors are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from scgrpo.credit.references import References

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward

__all__ = [
    "NOISE_ROWS",
    "divergence_log",
    "noise_limit",
    "noise_log",
    "quantile",
    "step_log",
]

QUANTILES = (25, 50, 75, 90, 99)
NOISE_QUANTILE = 0.99
NOISE_ROWS = 1


def step_log(
    forward: BatchForward, divergence: Tensor, references: References
) -> dict[str, float]:
    """`divergence_log` and `noise_log` of a batch's active tokens; divergence (B, T) nats.

    Noise is measured on `NOISE_ROWS` rows of each process alone: one more pass over one row of a
    step's.
    """
    active = divergence[forward.batch.action_mask & references.weighted[:, None]]
    return divergence_log(active) | noise_log(active, _noise(forward, references))


def noise_limit(forward: BatchForward, references: References) -> float:
    """D_noise in nats, as `noise_log` logs it; 0 if no row could be packed otherwise."""
    noise = _noise(forward, references)
    return float(_limit(noise)) if noise.numel() else 0.0


def divergence_log(divergence: Tensor) -> dict[str, float]:
    """Quantiles of D over the active tokens, (A,) nats; empty without any.

    | key | meaning |
    |---|---|
    | credit/d_p25, d_p50, d_p75, d_p90, d_p99 | D's quantiles, nats |
    """
    if not divergence.numel():
        return {}
    ordered = divergence.sort().values
    log: dict[str, float] = {}
    for percent in QUANTILES:
        log[f"credit/d_p{percent}"] = float(quantile(ordered, percent / 100))
    return log


def noise_log(divergence: Tensor, noise: Tensor) -> dict[str, float]:
    """How much of D, (A,) nats, is above `noise` (N,) nats; empty if either is.

    | key | meaning |
    |---|---|
    | credit/d_noise | 99th percentile of D between two numerically different, equal passes, nats |
    | credit/d_above_noise | share of the active tokens whose D is larger; not if that is 0 |
    """
    if not divergence.numel() or not noise.numel():
        return {}
    limit = _limit(noise)
    log = {"credit/d_noise": float(limit)}
    # Two passes of the same bits have measured no noise to compare with.
    if limit > 0:
        above = divergence > limit
        log["credit/d_above_noise"] = float(above.float().mean())
    return log


def _noise(forward: BatchForward, references: References) -> Tensor:
    """(N,) nats: D between two passes over the same input, of some weighted rows."""
    rows = references.weighted.nonzero()[:, 0].tolist()
    return forward.numerical_noise(rows, NOISE_ROWS)


def _limit(noise: Tensor) -> Tensor:
    return quantile(noise.sort().values, NOISE_QUANTILE)


def quantile(ordered: Tensor, share: float) -> Tensor:
    """The quantile of `ordered` (A,) at `share` in [0, 1], between its two neighbours.

    Not torch.quantile, which refuses more than 16 million values.
    """
    last = len(ordered) - 1
    place = share * last
    below = int(place)
    above = min(below + 1, last)
    return ordered[below].lerp(ordered[above], place - below)
