"""A folder of weights becomes a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import logging as transformers_logging

from scgrpo.models.sources.folders import (
    adapter_base,
    first_sentence,
    is_adapter,
    require_model,
    tokenizer_folder,
)

__all__ = [
    "check_rows",
    "default_device",
    "default_dtype",
    "load_config",
    "load_model",
    "load_tokenizer",
    "recompute_activations",
]

SPECIAL_TOKENS = PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES


def load_model(
    path: Path | str,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str | None = None,
) -> tuple[Any, PreTrainedTokenizerBase]:
    """Model (in eval mode, on the CPU) and tokenizer of a folder that `resolve_model` returned.

    A folder with a LoRA adapter gives a trainable `PeftModel` on the adapter's base model, all of
    it in `dtype`.
    `attention` is transformers' `attn_implementation`. Raises ValueError for a folder without a
    model, and for a tokenizer with tokens that the model has no rows for.
    """
    folder = require_model(Path(path))
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(folder))
        if is_adapter(folder):
            model: Any = _load_adapter(folder, dtype, attention)
        else:
            model = _load_weights(folder, dtype, attention)
    rows = int(model.get_input_embeddings().weight.shape[0])
    check_rows(folder, rows, tokenizer)
    return model, tokenizer


def _load_adapter(folder: Path, dtype: torch.dtype, attention: str | None) -> Any:
    from peft import PeftModel

    base_folder = adapter_base(folder)
    base = _load_weights(base_folder, dtype, attention)
    model = PeftModel.from_pretrained(
        base, folder, is_trainable=True, autocast_adapter_dtype=False
    )
    # The library looks there when it saves; the folder's own may be relative to it.
    model.peft_config["default"].base_model_name_or_path = str(base_folder)
    return model.eval()


def check_rows(folder: Path, rows: int, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises ValueError for a tokenizer with ids that the model has no row for.

    Placeholders of images and the like are allowed, which no text becomes: Gemma 3 1B has one.
    """
    placeholders = {
        token
        for name, token in tokenizer.special_tokens_map.items()
        if name not in SPECIAL_TOKENS
    }
    beyond = {
        token: token_id
        for token, token_id in tokenizer.get_vocab().items()
        if token_id >= rows and token not in placeholders
    }
    if not beyond:
        return
    token, token_id = max(beyond.items(), key=lambda item: item[1])
    raise ValueError(
        f"model={folder}: the tokenizer has {len(tokenizer)} tokens, {token!r} with the id "
        f"{token_id}, but the model has {rows} rows; call "
        f"model.resize_token_embeddings({token_id + 1}) and train the new rows, or take the "
        "tokenizer that belongs to the model"
    )


def load_config(path: Path | str) -> PretrainedConfig:
    """The configuration of a model, of an adapter that of its base; no weights are read.

    Raises ValueError for a folder without a model, an adapter without its base, and a
    configuration that transformers does not know.
    """
    folder = require_model(Path(path))
    if is_adapter(folder):
        folder = adapter_base(folder)
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"cannot read the configuration of the model {folder}: {first_sentence(error)}"
        ) from error


def load_tokenizer(path: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model or an adapter. Raises ValueError for a folder without one."""
    folder = require_model(Path(path))
    folder = tokenizer_folder(folder)
    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"cannot read the tokenizer of the model {folder}: {first_sentence(error)}"
        ) from error


def recompute_activations(model: PreTrainedModel) -> None:
    """Makes decoder layers keep their inputs alone, and compute the rest again for a gradient.

    Raises ValueError for a model that cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise ValueError(
            f"{type(model).__name__} does not support activation_checkpointing; leave it false"
        )
    # The name that transformers had for it before 5.20.
    enable = getattr(
        model, "activation_checkpointing_enable", model.gradient_checkpointing_enable
    )
    enable({"use_reentrant": False})
    for layer in model.modules():
        # The layers look at their own mode; their parts stay in eval mode, without dropout.
        if isinstance(layer, GradientCheckpointingLayer):
            layer.training = True


def default_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_dtype(device: torch.device | None = None) -> torch.dtype:
    """bfloat16 if the device computes in it natively, else float32."""
    if (device or default_device()).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif hasattr(torch.cpu, "get_capabilities"):
        flags = torch.cpu.get_capabilities()
        native = any(flags.get(flag) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def _load_weights(
    folder: Path, dtype: torch.dtype, attention: str | None
) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder)
    options = {"attn_implementation": attention} if attention else {}
    model = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=dtype, **options
    )
    return model.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Switches transformers' progress bars off, which flood a log file."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()
