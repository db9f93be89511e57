"""Files that were written, read once more before anyone relies on them.

A disk, a network file system or a library can lose the end of a file without an error. It shows
when the file is read, which may be weeks later, when the weights are gone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from scgrpo.models.load import load_model, load_tokenizer
from scgrpo.runs.disk import DiskError

__all__ = [
    "HashingFile",
    "ReadBackError",
    "UNREADABLE",
    "check_copy",
    "check_equal",
    "check_weights",
]

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, EOFError, SafetensorError)
"""What libraries raise for a file that is torn or holds something else."""


class ReadBackError(DiskError):
    """A file was written without an error and holds something else; the message names it."""


def check_weights(
    folder: Path, model: Any, weights: Mapping[str, Any] | None = None
) -> None:
    """Raises ReadBackError unless the folder holds the model's weights, and its tokenizer.

    `weights` stand for the model's own if that holds a part of them alone. Of a `PeftModel` only
    the adapter is compared: its base is not in the folder.
    """
    try:
        load_tokenizer(folder)
        if isinstance(model, PeftModel):
            saved = load_file(folder / "adapter_model.safetensors")
            expected = get_peft_model_state_dict(model, state_dict=weights)
        else:
            loaded, _ = load_model(folder, dtype=model.dtype)
            saved, expected = loaded.state_dict(), weights or model.state_dict()
    except UNREADABLE as error:
        raise ReadBackError(_message(folder, f"is no model: {error}")) from error
    check_equal(folder, saved, expected)


class HashingFile(io.BufferedWriter):
    """A new file that is hashed as it is written, so that it can be checked without its content.

    An optimizer's state is several times as large as the weights: a copy of it to compare with
    would set a run's peak of memory.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self.path = path
        self._hash = hashlib.sha256()

    def write(self, data: Any) -> int:
        """Appends bytes; returns how many."""
        self._hash.update(data)
        return super().write(data)

    def hexdigest(self) -> str:
        """The SHA-256 of what was written."""
        return self._hash.hexdigest()

    def check(self) -> None:
        """Raises ReadBackError unless the closed file holds what was written."""
        if _sha256(self.path) != self._hash.digest():
            raise ReadBackError(_message(self.path, "differs from what was written"))


def check_copy(file: Path, copy: Path) -> None:
    """Raises ReadBackError unless the copy has the file's content."""
    if _sha256(copy) != _sha256(file):
        raise ReadBackError(_message(copy, f"differs from {file}"))


def check_equal(path: Path, saved: Any, expected: Any) -> None:
    """Raises ReadBackError unless both hold the same values, at any depth."""
    for name in _differences(saved, expected, ""):
        raise ReadBackError(_message(path, f"differs in {name}"))


def _differences(saved: Any, expected: Any, name: str) -> Iterator[str]:
    """Names of what differs."""
    if isinstance(expected, Tensor):
        if not _is_equal(saved, expected):
            yield name
    elif isinstance(expected, Mapping):
        if not isinstance(saved, Mapping) or saved.keys() != expected.keys():
            yield f"{name} (other names)"
            return
        for key, value in expected.items():
            yield from _differences(saved[key], value, f"{name}.{key}".lstrip("."))
    elif isinstance(expected, list | tuple):
        if not isinstance(saved, list | tuple) or len(saved) != len(expected):
            yield f"{name} (another length)"
            return
        for index, value in enumerate(expected):
            yield from _differences(saved[index], value, f"{name}[{index}]")
    elif saved != expected:
        yield name


def _is_equal(saved: Any, expected: Tensor) -> bool:
    if not isinstance(saved, Tensor) or saved.shape != expected.shape:
        return False
    original = expected.detach().to(saved.device, saved.dtype)
    # Bit by bit, so that NaN equals itself.
    return torch.equal(_bits(saved), _bits(original))


def _bits(values: Tensor) -> Tensor:
    return values.detach().contiguous().flatten().view(torch.uint8)


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _message(path: Path, problem: str) -> str:
    return (
        f"cannot write {path}: read back at once, it {problem}. Choose a folder on another disk; "
        "what was there before is as it was"
    )
