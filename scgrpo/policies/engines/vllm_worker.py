"""What vLLM's workers do for the trainer: read its weights, and say which they compute with.

Loaded by `--worker-extension-cls scgrpo.policies.engines.vllm_worker.WeightSyncWorker`, inside
vLLM's own Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from scgrpo.policies.engines.digests import (
    HEAD_ROWS,
    adapter_digests,
    head_digest,
    norm_digests,
)

__all__ = ["WeightSyncWorker"]


def _register_gloo() -> None:
    """Makes `{"backend": "gloo"}` a weight transfer of this vLLM."""
    try:
        from vllm.distributed.weight_transfer.factory import (  # pyright: ignore
            WeightTransferEngineFactory,
        )
    except ImportError:
        # Without vLLM, as in tests of this module, there is nothing to register with.
        return
    module = "scgrpo.policies.engines.gloo_worker"
    # Twice in a process whose module is loaded again.
    with suppress(ValueError):
        WeightTransferEngineFactory.register_engine(
            "gloo", module, "GlooTransferEngine"
        )


_register_gloo()


class WeightSyncWorker:
    """Mixed into vLLM's worker class."""

    model_runner: Any
    reload_weights: Any

    def sync_weights(self, weights_path: str) -> None:
        """Computes with the weights in a folder from now on."""
        self.reload_weights(weights_path=weights_path)
        self.tie_head()

    def tie_head(self) -> None:
        """Makes a tied output layer what the embedding is; to be called after a hand-over.

        A checkpoint names tied weights once, so a reload leaves the head as it was.
        """
        model = self.model_runner.get_model()
        head: Any = getattr(model, "lm_head", None)
        if model.config.tie_word_embeddings and hasattr(head, "tie_weights"):
            tied = head.tie_weights(model.model.embed_tokens)
            tied.quant_method.process_weights_after_loading(tied)

    def weight_digests(self) -> dict[str, str]:
        """Of the norms that this worker holds, and of the first rows of its part of the head.

        With tensor parallelism that part begins at a row of its own; with pipeline parallelism
        other stages hold other norms, and the last one alone the head. Of adapters every worker
        holds all.
        """
        model = self.model_runner.get_model()
        digests = norm_digests(model.named_parameters())
        digests |= adapter_digests(self._adapter_matrices())
        head = getattr(model, "lm_head", None)
        weight = getattr(head, "weight", None)
        if weight is None:
            return digests

        part = getattr(head, "shard_indices", None)
        first = part.org_vocab_start_index if part else 0
        last = part.org_vocab_end_index if part else len(weight)
        rows = min(HEAD_ROWS, last - first)
        return digests | head_digest(weight[:rows], first)

    def _adapter_matrices(self) -> Iterator[Any]:
        """Both matrices of each layer of all adapters that are loaded."""
        manager = getattr(self.model_runner, "lora_manager", None)
        if manager is None:
            return
        for adapter in manager._adapter_manager.list_adapters().values():
            for layer in adapter.loras.values():
                for matrix in (layer.lora_a, layer.lora_b):
                    # Layers that the engine packs into one, such as q, k and v, are a list.
                    parts = matrix if isinstance(matrix, list) else [matrix]
                    yield from (part for part in parts if part is not None)
