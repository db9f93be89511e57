"""Checkpoints: a model in Hugging Face format, with what training needs to go on from there."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.distributed.sharding import cpu_state_dict
from scgrpo.models.read_back import UNREADABLE, HashingFile, check_weights
from scgrpo.models.sources.folders import is_adapter, name_base
from scgrpo.runs.checkpoints import (
    BEST,
    CheckpointError,
    newest_first,
    step_folder,
    write_manifest,
)
from scgrpo.runs.disk import atomic_folder, link_atomically, remove_scratch
from scgrpo.training.optimizer import MasterAdamW, Part
from scgrpo.training.optimizer_files import cpu_copy, read_parts, write_parts

__all__ = [
    "OPTIMIZER",
    "TRAINER",
    "Content",
    "load_into",
    "mark_best",
    "random_state",
    "restore_random_state",
    "save",
    "snapshot",
]

TRAINER = "trainer.pt"
OPTIMIZER = "optimizer"
FILE_SIZE = "5GB"


@dataclass(frozen=True)
class Content:
    """What a checkpoint is made of.

    | field | meaning |
    |---|---|
    | step | the finished step |
    | model | what is saved of it: the architecture; the weights too, if `weights` is None |
    | weights | by the names of its `state_dict`; needed on rank 0 alone |
    | optimizer | `state_parts` of the optimizer |
    | state | plain values and tensors (see `random_state`) |
    | base | how an adapter names what it stands on: a name or path, and a revision |
    """

    step: int
    model: Any
    tokenizer: PreTrainedTokenizerBase
    optimizer: Mapping[str, Part]
    state: Mapping[str, Any]
    weights: Mapping[str, Tensor] | None = None
    base: tuple[str, str | None] | None = None


def snapshot(content: Content, dtype: torch.dtype) -> Content:
    """The same as it is now, in memory of its own on the CPU: what a thread can write meanwhile.

    All ranks must call it if the model is sharded; rank 0 alone gets weights, in `dtype`.
    """
    return replace(
        content,
        weights=cpu_state_dict(content.model, dtype),
        optimizer=cpu_copy(content.optimizer),
    )


def save(
    folder: Path,
    content: Content,
    *,
    keep: int | None = None,
    ranks: Ranks = SINGLE_PROCESS,
) -> Path:
    """Writes `folder/step-000012` whole or not at all, then deletes all but the `keep` newest.

    Weights keep their dtype; of a `PeftModel` the adapter is written. If the optimizer is sharded,
    all ranks must call it: each writes its part of that, rank 0 everything else.

    It is read back before it counts. Raises CheckpointError if the disk gives back something else,
    DiskError when it is full or cannot be written, and PeerLostError on the other ranks; the
    checkpoints before it stay good.
    """
    _check_plain(content.state, "state")
    target = step_folder(folder, content.step)
    with ExitStack() as stack:

        def open_scratch() -> Path:
            remove_scratch(folder, "step-*")
            return stack.enter_context(atomic_folder(target))

        scratch = ranks.broadcast_object(open_scratch)
        digests = write_parts(scratch / OPTIMIZER, content.optimizer, ranks)

        def complete() -> None:
            digests_by_path = {
                f"{OPTIMIZER}/{name}": digest for name, digest in digests.items()
            }
            _write_rest(scratch, content, digests_by_path)
            # Puts the folder in its place.
            stack.close()
            if keep is not None:
                _delete_old(folder, keep)

        ranks.broadcast_object(complete)
    return target


def _write_rest(scratch: Path, content: Content, digests: Mapping[str, str]) -> None:
    """Writes everything but the optimizer, whose files have these SHA-256, and the manifest."""
    model, weights = content.model, content.weights
    model.save_pretrained(
        scratch,
        state_dict=None if weights is None else dict(weights),
        max_shard_size=FILE_SIZE,
    )
    content.tokenizer.save_pretrained(scratch)
    if content.base is not None and is_adapter(scratch):
        name_base(scratch, *content.base)
    with HashingFile(scratch / TRAINER) as file:
        torch.save({"step": content.step, "state": dict(content.state)}, file)
    # Before the manifest, which would hold for a torn file as well as for a whole one.
    check_weights(scratch, model, weights)
    file.check()
    # Last, because it lists every other file.
    write_manifest(scratch, digests)


def mark_best(path: Path) -> None:
    """Points the link `best` in its folder at a checkpoint, in one step; it is never deleted."""
    link_atomically(path.with_name(BEST), path.name)


def load_into(
    path: Path, optimizer: MasterAdamW, ranks: Ranks = SINGLE_PROCESS
) -> dict[str, Any]:
    """Puts the optimizer's state of a checkpoint in place, and the model's weights with it.

    Any number of ranks may have written it; each reads its own part. Returns the `state`. The
    optimizer must be of the model that was saved. Raises CheckpointError for a checkpoint that
    cannot be read; whether its files are what was written, `verify` says.
    """
    try:
        # `weights_only` unpickles no code, so a checkpoint from elsewhere cannot run any.
        content = torch.load(path / TRAINER, map_location="cpu", weights_only=True)
        state = content["state"]
    except (*UNREADABLE, IndexError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: {TRAINER} cannot be read: {error}") from error
    if not (path / OPTIMIZER).is_dir():
        raise CheckpointError(
            f"{path} was written by an earlier version, without {OPTIMIZER}/: start a new run from "
            f"its weights with model={path}"
        )
    optimizer.load_state_parts(read_parts(path / OPTIMIZER, ranks))
    return state


def random_state(generator: np.random.Generator) -> dict[str, Any]:
    """The states of a NumPy generator, which all of a run's own draws come from, and of torch's.

    Torch's is for rules from outside, on the CPU alone: a run may go on with other GPUs.
    """
    return {"numpy": generator.bit_generator.state, "torch": torch.get_rng_state()}


def restore_random_state(
    state: Mapping[str, Any], generator: np.random.Generator
) -> None:
    """Puts back what `random_state` returned."""
    generator.bit_generator.state = state["numpy"]
    torch.set_rng_state(state["torch"])


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
