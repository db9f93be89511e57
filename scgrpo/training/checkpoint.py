"""Checkpoints: a model in Hugging Face format, with what training needs to go on from there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from scgrpo.distributed.sharding import load_full_state_dict
from scgrpo.models.load import load_model
from scgrpo.models.read_back import HashingFile, check_weights
from scgrpo.models.sources.folders import is_adapter, name_base
from scgrpo.runs.checkpoints import (
    BEST,
    newest_first,
    step_folder,
    verify,
    write_manifest,
)
from scgrpo.runs.disk import atomic_folder, link_atomically, remove_scratch

__all__ = [
    "TRAINER",
    "load_into",
    "mark_best",
    "random_state",
    "restore_random_state",
    "save",
]

TRAINER = "trainer.pt"


class Stateful(Protocol):
    """An optimizer, as far as a checkpoint needs one."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Continues from what its `state_dict` returned."""
        ...


def save(
    folder: Path,
    step: int,
    *,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    optimizer: Mapping[str, Any],
    state: Mapping[str, Any],
    weights: Mapping[str, Any] | None = None,
    base: tuple[str, str | None] | None = None,
    keep: int | None = None,
) -> Path:
    """Writes `folder/step-000012` whole or not at all, then deletes all but the `keep` newest.

    Weights keep their dtype; of a `PeftModel` the adapter is written, which names its `base` and
    that one's revision (default: the path that it was loaded from). `optimizer` is its state;
    `weights` are the complete ones of a sharded model, else None. `state` holds plain values and
    tensors (see `random_state`).

    It is read back before it counts. Raises CheckpointError if the disk gives back something else,
    DiskError when it is full or cannot be written; the checkpoints before it stay good.
    """
    _check_plain(state, "state")
    target = step_folder(folder, step)
    remove_scratch(folder, "step-*")
    content = {"step": step, "optimizer": dict(optimizer), "state": dict(state)}
    with atomic_folder(target) as scratch:
        model.save_pretrained(scratch, state_dict=weights)
        tokenizer.save_pretrained(scratch)
        if base is not None and is_adapter(scratch):
            name_base(scratch, *base)
        with HashingFile(scratch / TRAINER) as file:
            torch.save(content, file)
        # Before the manifest, which would hold for a torn file as well as for a whole one.
        check_weights(scratch, model, weights)
        file.check()
        # Last, because it lists every other file.
        write_manifest(scratch)
    if keep is not None:
        _delete_old(folder, keep)
    return target


def mark_best(path: Path) -> None:
    """Points the link `best` in its folder at a checkpoint, in one step; it is never deleted."""
    link_atomically(path.with_name(BEST), path.name)


def load_into(path: Path, model: Any, optimizer: Stateful | None) -> dict[str, Any]:
    """Puts weights and optimizer state of a checkpoint in place and returns its `state`.

    `model` must have the architecture that was saved. Raises CheckpointError for a checkpoint
    whose files are not what was written.
    """
    verify(path)
    saved, _ = load_model(path, dtype=model.dtype)
    load_full_state_dict(model, saved.state_dict())
    device = next(model.parameters()).device
    # `weights_only` unpickles no code, so a checkpoint from elsewhere cannot run any.
    content = torch.load(path / TRAINER, map_location=device, weights_only=True)
    if optimizer is not None:
        optimizer.load_state_dict(content["optimizer"])
    return content["state"]


def random_state(generator: np.random.Generator) -> dict[str, Any]:
    """The state of a NumPy generator and of torch's own, in values that `save` takes."""
    return {
        "numpy": generator.bit_generator.state,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(
    state: Mapping[str, Any], generator: np.random.Generator
) -> None:
    """Puts back what `random_state` returned."""
    generator.bit_generator.state = state["numpy"]
    torch.set_rng_state(state["torch"].cpu())
    # A run may continue on a machine with other GPUs, to which these states do not apply.
    by_gpu = [gpu_state.cpu() for gpu_state in state["cuda"]]
    is_same_count = len(by_gpu) == torch.cuda.device_count()
    if is_same_count and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(by_gpu)


def _delete_old(folder: Path, keep: int) -> None:
    """Deletes all but the `keep` newest checkpoints, at least one, and the best."""
    best = (folder / BEST).resolve()
    for path in newest_first(folder)[max(keep, 1) :]:
        if path.resolve() != best:
            shutil.rmtree(path)


def _check_plain(value: Any, where: str) -> None:
    """Raises ValueError for what could only be read back by running pickled code."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(item, f"{where}[{key!r}]")
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
        return

    # By type and not isinstance: a subclass, such as NumPy's float64, is pickled by its class.
    is_plain = type(value) in (str, int, float, bool, type(None))
    if not is_plain and not torch.is_tensor(value):
        raise ValueError(
            f"{where}: got a {type(value).__name__}, expected plain values or tensors"
        )
