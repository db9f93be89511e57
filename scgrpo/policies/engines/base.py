"""What samples tokens outside the training process: the protocol that every engine implements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Engine", "Sampled"]


class Sampled(NamedTuple):
    """A turn: its ids, their log-probabilities in nats, and whether the limit truncated it."""

    ids: list[int]
    logprobs: list[float]
    cut: bool


class Engine(Protocol):
    """Samples from weights that it reads from a folder. Thread-safe; errors are ServerError."""

    def sample(
        self,
        ids: Sequence[int],
        *,
        room: int,
        seed: int,
        salt: str,
        stop_ids: Sequence[int],
        stop_text: str,
    ) -> Sampled:
        """One completion of the ids, at temperature 1 from the complete distribution.

        It ends at the first of `stop_ids`, behind `stop_text` unless that is empty, or after `room`
        tokens; what ended it is part of it. Prefixes are cached under `salt`: nothing cached under
        another one may be used.
        """
        ...

    def load(self, folder: Path) -> None:
        """Computes with the model in `folder` from now on; forgets what it cached before."""
        ...

    def load_adapter(self, folder: Path) -> None:
        """Computes with the LoRA adapter in `folder`, and no other, from now on."""
        ...

    def weight_checksums(self) -> set[str]:
        """`vllm_worker.weight_checksum` of the base model that each worker computes with."""
        ...

    def close(self) -> None:
        """Ends running requests. Safe to call twice."""
        ...
