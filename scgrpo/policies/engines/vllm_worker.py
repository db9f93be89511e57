"""What vLLM's workers do for the trainer: read its weights, and say which they compute with.

Loaded by `--worker-extension-cls scgrpo.policies.engines.vllm_worker.WeightSyncWorker`, inside
vLLM's own Python. Imports torch alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["WeightSyncWorker", "weight_checksum"]

ROWS = 1024


def weight_checksum(model: nn.Module, head: Tensor) -> str:
    """Hex SHA-256 over the last norm and the first rows of the output layer, in bfloat16.

    Tensors that every engine lays out alike, and that every step of full training moves. Raises
    ValueError for a model without such a norm.
    """
    norms = [p for name, p in model.named_parameters() if name.endswith("norm.weight")]
    if not norms:
        raise ValueError(
            "the model has no parameter *norm.weight to recognise its version by"
        )

    checksum = hashlib.sha256()
    for tensor in (norms[-1], head[:ROWS]):
        # NumPy has no bfloat16, so the bytes are taken.
        values = tensor.detach().to(torch.bfloat16).cpu().contiguous()
        checksum.update(values.view(torch.uint8).numpy().tobytes())
    return checksum.hexdigest()


class WeightSyncWorker:
    """Mixed into vLLM's worker class."""

    model_runner: Any

    def sync_weights(self, weights_path: str) -> None:
        """Computes with the weights in a folder from now on."""
        self.model_runner.reload_weights(weights_path=weights_path)
        model = self.model_runner.get_model()
        if model.config.tie_word_embeddings:
            # A checkpoint names tied weights once, so a reload leaves the head as it was.
            head = model.lm_head.tie_weights(model.model.embed_tokens)
            head.quant_method.process_weights_after_loading(head)

    def weight_checksum(self) -> str:
        """`weight_checksum` of the model that this worker holds."""
        model = self.model_runner.get_model()
        return weight_checksum(model, model.lm_head.weight)
