"""What every request for a turn asks of vLLM, and what a turn must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scgrpo.policies.completions import ServerError
from scgrpo.policies.engines.base import Sampled

__all__ = ["ADAPTER_PREFIX", "COMPLETE_DISTRIBUTION", "EXTENSION", "turn_of"]

ADAPTER_PREFIX = "scgrpo-"
EXTENSION = "scgrpo.policies.engines.vllm_worker.WeightSyncWorker"

COMPLETE_DISTRIBUTION: Mapping[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""The model's own distribution, whatever its generation config says.

All of vLLM's defaults that a generation config may set: log-probabilities are computed before
penalties, so that none would be seen in them.
"""


def turn_of(
    ids: Sequence[int], logprobs: Sequence[float | None], *, cut: bool
) -> Sampled:
    """Raises ServerError unless every id has its log-probability."""
    if not ids or len(ids) != len(logprobs) or None in logprobs:
        raise ServerError(
            f"got {len(ids)} ids and {len(logprobs)} log-probabilities of a turn"
        )
    return Sampled([int(i) for i in ids], [float(p or 0.0) for p in logprobs], cut)
