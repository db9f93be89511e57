"""How the trainer's weights reach the engines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scgrpo.distributed.sharding import is_sharded
from scgrpo.distributed.weight_files import write_weights
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.runs.disk import atomic_folder, remove_scratch

__all__ = ["ByDisk", "Handover", "version_folder"]

KEEP_WEIGHTS = 1


class Handover(Protocol):
    """Gives weights to the engines of a fleet.

    | attribute | meaning |
    |---|---|
    | streams | it reads the weights that it is handed, also of a model that is not sharded |
    """

    streams: bool

    def push(
        self,
        weights: Iterator[tuple[str, Tensor]],
        fleet: Fleet,
        number: int,
    ) -> None:
        """Has every engine compute with the weights, which are version `number`.

        `weights` are `sharding.stream_weights`: each is whole, and gone when the next one comes. An
        engine that does not take them leaves the fleet; raises its error if none is left.
        """
        ...

    def close(self) -> None:
        """Frees what the hand-over holds. Safe to call twice."""
        ...


class ByDisk:
    """By a folder that the engines read: any engine, on any device; adapters too.

    | argument | meaning |
    |---|---|
    | folder | where versions are written; on a disk that the engines see too |
    """

    streams = False

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        folder: Path,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._folder = folder

    def push(
        self,
        weights: Iterator[tuple[str, Tensor]],
        fleet: Fleet,
        number: int,
    ) -> None:
        """See `Handover.push`. Raises DiskError if the folder cannot be written."""
        target = self._folder / version_folder(number)
        remove_scratch(self._folder, "version-*")
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_folder(target) as scratch:
            self._write(scratch, weights)

        is_adapter = isinstance(self._model, PeftModel)
        fleet.hand_over(
            lambda engine: (engine.load_adapter if is_adapter else engine.load)(target)
        )
        # Only now: until the engines have the new version, they may read the old one.
        for old in sorted(self._folder.glob("version-*"))[:-KEEP_WEIGHTS]:
            shutil.rmtree(old)

    def close(self) -> None:
        """Deletes what was written: copies for the engines alone."""
        for copy in self._folder.glob("version-*"):
            shutil.rmtree(copy, ignore_errors=True)
        with suppress(OSError):
            self._folder.rmdir()

    def _write(self, folder: Path, weights: Iterator[tuple[str, Tensor]]) -> None:
        self._tokenizer.save_pretrained(folder)
        if not any(map(is_sharded, self._model.parameters())):
            self._model.save_pretrained(folder)
            return
        if isinstance(self._model, PeftModel):
            self._model.peft_config["default"].save_pretrained(str(folder))
            write_weights(folder, weights, name="adapter_model")
            return
        self._model.config.save_pretrained(folder)
        write_weights(folder, weights)


def version_folder(number: int) -> str:
    """The name of the folder of a version; of an adapter its name in the engine."""
    return f"version-{number:06d}"
