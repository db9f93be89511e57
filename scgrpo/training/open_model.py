"""The model that a run trains, and the one that it learns from, as its settings describe them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scgrpo.config import LoraConfig, TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.distributed.ranks import Ranks
from scgrpo.distributed.sharding import shard
from scgrpo.models.load import load_model, recompute_activations
from scgrpo.models.paths import choose_path
from scgrpo.teachers.prompt_ids import load_teacher

__all__ = ["open_model", "reference_model_of", "teacher_of", "with_adapters"]


def open_model(
    start: Path, config: TrainConfig, ranks: Ranks
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model to train, with its adapters and spread over the ranks, and its tokenizer."""
    model, tokenizer = load_model(start, dtype=dtype_of(config))
    model = with_adapters(model.to(device_of(config)), config.lora)
    choose_path(model)
    if config.activation_checkpointing:
        recompute_activations(model)

    # Fresh adapters are random, and each rank's would be its own.
    ranks.broadcast_(model.parameters())
    shard(model, ranks)
    return model, tokenizer


def with_adapters(model: PreTrainedModel, lora: LoraConfig) -> PreTrainedModel:
    """The model with fresh adapters, of its type, on every linear layer; as it is for rank 0."""
    if not lora.rank:
        return model
    from peft import LoraConfig as Adapters
    from peft import get_peft_model

    options = Adapters(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    # In the model's type, as FSDP computes them; the optimizer has their fp32 masters.
    peft_model = get_peft_model(model, options, autocast_adapter_dtype=False)
    return cast(PreTrainedModel, peft_model)


def reference_model_of(
    start: Path, config: TrainConfig, ranks: Ranks
) -> PreTrainedModel | None:
    """The frozen model of the KL term, spread over the ranks like the one that is trained.

    None without that term, and for fresh adapters: without them the model is the one at `start`.
    """
    if not config.kl_coefficient or config.lora.rank:
        return None
    model, _ = load_model(start, dtype=dtype_of(config))
    model.to(device_of(config)).requires_grad_(False)
    choose_path(model)
    shard(model, ranks)
    return model


def teacher_of(
    config: TrainConfig, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel | None:
    """The other model that `algo` learns from, if it learns from one."""
    if not config.teacher:
        return None
    return load_teacher(
        config.teacher,
        tokenizer,
        dtype=dtype_of(config),
        device=device_of(config),
    )
