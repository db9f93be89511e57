"""What samples tokens outside the training process: the protocol that every engine implements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from scgrpo.policies.completions import ServerError

__all__ = ["Engine", "EngineLostError", "Sampled"]


class Sampled(NamedTuple):
    """A turn: its ids, their log-probabilities in nats, and whether the limit truncated it."""

    ids: list[int]
    logprobs: list[float]
    cut: bool


class EngineLostError(ServerError):
    """The engine ended, stalled or broke within a turn; `partial` is what it wrote of it."""

    def __init__(self, message: str, partial: Sampled | None = None) -> None:
        super().__init__(message)
        self.partial = partial or Sampled([], [], cut=False)


class Engine(Protocol):
    """Samples from weights that it is handed. Thread-safe; errors are ServerError.

    | attribute | meaning |
    |---|---|
    | name | for messages: an address, most often |
    """

    name: str

    def sample(
        self,
        ids: Sequence[int],
        *,
        room: int,
        seed: int,
        salt: str,
        stop_ids: Sequence[int],
        stop_text: str,
        adapter: str = "",
    ) -> Sampled:
        """One completion of the ids, at temperature 1 from the complete distribution.

        `adapter` is the name of the folder of the adapter to sample from, which is loaded.

        It ends at the first of `stop_ids`, behind `stop_text` unless that is empty, or after `room`
        tokens; what ended it is part of it. Prefixes are cached under `salt`: nothing cached under
        another one may be used. Raises EngineLostError if another engine may do it.
        """
        ...

    def score(self, ids: Sequence[int], *, adapter: str = "") -> list[list[float]]:
        """Log-probabilities of all ids but the first, nats, as each replica computes them."""
        ...

    def load(self, folder: Path) -> None:
        """Computes with the model in `folder` from now on; forgets what it cached before."""
        ...

    def load_adapter(self, folder: Path) -> None:
        """Has the LoRA adapter in `folder` at hand, and no other, from now on."""
        ...

    def weight_digests(self) -> list[dict[str, str]]:
        """`vllm_worker.WeightSyncWorker.weight_digests` of each worker.

        Replicas of one engine are compared with each other; raises ServerError if they differ.
        """
        ...

    def set_version(self, version: str) -> None:
        """Names the weights that it computes with, until it is started again."""
        ...

    def version(self) -> str:
        """The name that `set_version` gave last; another one after a new start."""
        ...

    def pause(self) -> None:
        """Stops between two decode steps; turns that are being written wait for `resume`."""
        ...

    def resume(self) -> None:
        """Goes on with what waits since `pause`."""
        ...

    def sleep(self, *, keep_weights: bool) -> None:
        """Frees its cache, and its weights or moves them to the CPU, until `wake`."""
        ...

    def wake(self, what: str) -> None:
        """Takes memory again for `weights`, or for `kv_cache`."""
        ...

    def close(self) -> None:
        """Ends running requests. Safe to call twice."""
        ...
