"""The weight w = D / (D + c) of a signal D, with c a percentile of D over a scope.

Source: arXiv:2606.18810; `scgrpo.credit.self_conditioned` has its marks. Axes: B episodes, T
tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scgrpo.credit.divergence import quantile
from scgrpo.credit.options import CreditOptions

__all__ = ["scope_numbers", "threshold", "weights_of_signal"]


def scope_numbers(
    options: CreditOptions,
    mask: Tensor,
    micro_batch: Tensor | None,
    turn: Tensor | None,
) -> Tensor:
    """Which tokens share a percentile: (B, T) int64, equal for those that do.

    `micro_batch` (B,) and `turn` (B, T) number what the scopes of these names share. Raises
    ValueError if the scope's own is missing.
    """
    if options.scope == "step":
        return torch.zeros(mask.shape, dtype=torch.int64, device=mask.device)
    if options.scope == "turn":
        if turn is None:
            raise ValueError(
                "scope=turn: got no turn, expected that of each token, (B, T)"
            )
        return turn
    if micro_batch is None:
        raise ValueError(
            "scope=micro_batch: got no micro_batch, expected that of each row, (B,)"
        )
    return micro_batch.long()[:, None].expand(mask.shape)


def weights_of_signal(
    signal: Tensor,
    active: Tensor,
    scope: Tensor,
    options: CreditOptions,
    noise: float | None = None,
) -> Tensor:
    """w = D / (D + c) at the `active` tokens, 1 elsewhere. (B, T) each -> (B, T) float32.

    A D under 0 stands for 0. `noise`, in D's unit, is what `above_noise` compares with. With
    `normalize_weights` and every w of a scope 0, all of them become 1. Raises ValueError for a
    signal that is not finite at an active token, and if `above_noise` lacks its noise.
    """
    _check_finite(signal, active)
    if options.above_noise and noise is None:
        raise ValueError("above_noise: got no noise, expected a number of nats")

    w = torch.ones_like(signal)
    values = signal[active].clamp_min(0.0)
    numbers = scope[active]
    # Stable, so that the tokens of a scope keep their order.
    order = numbers.argsort(stable=True)
    _, sizes = numbers.unique(return_counts=True)
    parts = values[order].split(sizes.tolist()) if len(values) else ()
    weighted = [_weights_of_scope(part, options, noise) for part in parts]
    if weighted:
        by_token = torch.empty_like(values)
        by_token[order] = torch.cat(weighted)
        w[active] = by_token
    return w


def threshold(values: Tensor, options: CreditOptions, noise: float | None) -> Tensor:
    """c of the signals (n,): their percentile, at least the floor.

    With `above_noise` over those above `noise` alone, and at least the noise itself.
    """
    floor = options.floor
    if options.above_noise and noise is not None:
        floor = max(floor, noise)
        values = values[values > noise]
        if not len(values):
            return values.new_tensor(floor)
    c = quantile(values.sort().values, options.percentile)
    return c.clamp_min(floor)


def _weights_of_scope(
    values: Tensor, options: CreditOptions, noise: float | None
) -> Tensor:
    """D / (D + c) of a scope's signals (n,) >= 0."""
    w = values / (values + threshold(values, options, noise))
    if options.normalize_weights:
        mean = w.mean()
        return w / mean if mean > 0 else torch.ones_like(w)
    return w


def _check_finite(signal: Tensor, active: Tensor) -> None:
    if signal[active].isfinite().all():
        return
    rows = (active & ~signal.isfinite()).any(1).nonzero().flatten().tolist()
    raise ValueError(
        f"divergence or entropy is not finite at action tokens of rows {rows}"
    )
