"""Digests that tell one version of the weights from another, in the trainer and in an engine.

vLLM's workers import this module, in their own Python: it imports torch alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

__all__ = [
    "HEAD_ROWS",
    "adapter_digests",
    "differences",
    "head_digest",
    "missing_matrices",
    "norm_digests",
]

HEAD_ROWS = 1024
DIGITS = 16
_ADAPTER = "adapter"
_HEAD = re.compile(r"head\[(\d+):(\d+)\]")
_LAYER = re.compile(r"(?:^|\.)([^.]+\.\d+\..*)$")


def _digest(tensor: Tensor) -> str:
    """The first digits of the SHA-256 over a tensor's values in bfloat16."""
    # NumPy has no bfloat16, so the bytes are hashed.
    values = tensor.detach().to(torch.bfloat16).cpu().contiguous()
    return hashlib.sha256(values.view(torch.uint8).numpy().tobytes()).hexdigest()[
        :DIGITS
    ]


def norm_digests(weights: Iterable[tuple[str, Tensor]]) -> dict[str, str]:
    """Digests of the weights of norms: of every layer, alike on every tensor-parallel rank.

    Keys are names from the layer on, such as `layers.3.input_layernorm.weight`: what lies before
    it differs between wrappers of a model.
    """
    digests: dict[str, str] = {}
    for name, weight in weights:
        # Of matrices that vLLM has laid out otherwise an empty row is left.
        if weight.dim() == 1 and weight.numel() and name.endswith("weight"):
            digests[_short(name)] = _digest(weight)
    return digests


def head_digest(rows: Tensor, first: int) -> dict[str, str]:
    """The digest of rows of the output layer, from row `first` on. (R, D), as `head[a:b]`."""
    return {f"head[{first}:{first + len(rows)}]": _digest(rows)}


def adapter_digests(matrices: Iterable[Tensor]) -> dict[str, str]:
    """Digests of an adapter's matrices, each (out, in), as `adapter[digest]`.

    Without names, which the trainer's library and the engine's give differently: engines pack what
    belongs to one layer, and keep the scale in the second matrix.
    """
    digests = [_digest(matrix) for matrix in matrices]
    return {f"{_ADAPTER}[{digest}]": digest for digest in digests}


def missing_matrices(
    worker: Mapping[str, str], expected: Iterable[Collection[str]]
) -> int:
    """How many of an adapter's matrices a worker does not have; each by its possible keys."""
    return sum(worker.keys().isdisjoint(keys) for keys in expected)


def _head_rows(keys: Iterable[str]) -> list[tuple[int, int]]:
    """Which rows of the output layer the keys speak of: (first, last + 1) of each."""
    matches = [_HEAD.fullmatch(key) for key in keys]
    return [(int(match[1]), int(match[2])) for match in matches if match]


def differences(
    worker: Mapping[str, str], norms: Mapping[str, str], head: Tensor
) -> list[str]:
    """The keys of a worker's digests that are not the trainer's, whose output layer is (V, D)."""
    expected = dict(norms)
    for first, end in _head_rows(worker):
        expected |= head_digest(head[first:end], first)
    own = (key for key in worker if not key.startswith(_ADAPTER))
    return sorted(key for key in own if worker[key] != expected.get(key))


def _short(name: str) -> str:
    """The name without what lies before its layer, of other weights the last two parts."""
    match = _LAYER.search(name)
    return match[1] if match else ".".join(name.split(".")[-2:])
