"""What distinguishes one folder of weights from another; without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from scgrpo.models.sources.folders import adapter_base, is_adapter
from scgrpo.runs import checkpoints

__all__ = ["weights_digest"]

WEIGHTS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


def weights_digest(folder: Path) -> str:
    """Hex SHA-256 over weights, settings and tokenizer: all that decides what a model says."""
    digest = hashlib.sha256()
    _add_files(digest, folder)
    # An adapter says something else on another base.
    if is_adapter(folder):
        _add_files(digest, adapter_base(folder))
    return digest.hexdigest()


def _add_files(digest: Any, folder: Path) -> None:
    """Feeds names and contents of a model's files to the digest."""
    files = {file for pattern in WEIGHTS for file in folder.glob(pattern)}
    for file in sorted(files, key=lambda file: file.name):
        # The manifest covers the optimizer's state too, which changes no answer.
        if file.name == checkpoints.MANIFEST:
            continue
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256")
        digest.update(content.digest())
