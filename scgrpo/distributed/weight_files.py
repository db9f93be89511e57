"""Folders of weights in Hugging Face format, written weight by weight."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from scgrpo.distributed.ranks import is_main_process
from scgrpo.distributed.sharding import ADAPTER, stream_weights
from scgrpo.models.decoder import transformers_model

__all__ = ["save_streamed", "write_weights"]

FILE_BYTES = 2 * 2**30


def save_streamed(
    model: PreTrainedModel, folder: Path, dtype: torch.dtype, *, merged: bool = False
) -> None:
    """Writes the model's folder, without its tokenizer, on rank 0; all ranks must call it.

    Of a `PeftModel` the adapter, or with `merged` the model with the adapter in it. Other than
    `save_pretrained` it never holds all weights: a file's at most. The weights must not change
    meanwhile. Raises ValueError as `stream_weights` does, and the disk's errors.
    """
    weights = stream_weights(model, dtype, merged=merged)
    is_adapter = isinstance(model, PeftModel) and not merged
    name = "adapter_model" if is_adapter else "model"
    if not is_main_process():
        for _ in weights:
            pass
        return

    folder.mkdir(parents=True, exist_ok=True)
    if is_adapter:
        about = copy.copy(model.peft_config[ADAPTER])
        about.inference_mode = True
        about.save_pretrained(str(folder))
    else:
        _save_config(transformers_model(model), folder, dtype)
    write_weights(folder, weights, name=name)


def write_weights(
    folder: Path,
    weights: Iterable[tuple[str, Tensor]],
    *,
    name: str = "model",
    file_bytes: int = FILE_BYTES,
) -> None:
    """Writes weights to safetensors files of about `file_bytes`, with an index if it is several.

    At most a file's weights are held at a time, on the CPU.
    """
    files: list[dict[str, Tensor]] = [{}]
    parts: list[Path] = []
    places: dict[str, int] = {}
    total = size = 0

    def write() -> None:
        part = folder / f".{name}-{len(parts):05d}.safetensors"
        save_file(files.pop(), part, metadata={"format": "pt"})
        parts.append(part)

    for key, value in weights:
        if size and size + value.nbytes > file_bytes:
            write()
            files.append({})
            size = 0
        # The files' format wants every weight in one piece, and no two in the same memory.
        files[-1][key] = value.contiguous().cpu()
        places[key] = len(parts)
        size += value.nbytes
        total += value.nbytes
    write()

    if len(parts) == 1:
        parts[0].rename(folder / f"{name}.safetensors")
        return
    names = [
        f"{name}-{number:05d}-of-{len(parts):05d}.safetensors"
        for number in range(1, len(parts) + 1)
    ]
    for part, final in zip(parts, names, strict=True):
        part.rename(folder / final)
    index = {
        "metadata": {"total_size": total},
        "weight_map": {key: names[place] for key, place in places.items()},
    }
    text = json.dumps(index, indent=2, sort_keys=True)
    (folder / SAFE_WEIGHTS_INDEX_NAME).write_text(text + "\n")


def _save_config(model: PreTrainedModel, folder: Path, dtype: torch.dtype) -> None:
    """Writes what `save_pretrained` writes next to the weights."""
    config = copy.deepcopy(model.config)
    config.dtype = str(dtype).removeprefix("torch.")
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)
