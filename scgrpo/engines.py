"""Opens the policy that samples a run's episodes, by `engine.kind`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scgrpo.config import TrainConfig
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.policies.completions import Server
from scgrpo.policies.engines.vllm import VLLMEngine, VLLMServer
from scgrpo.policies.hf import HFPolicy
from scgrpo.policies.remote import RemotePolicy

__all__ = ["open_policy"]

WEIGHT_SYNC = "weight_sync"


def open_policy(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    start: Path,
    run: Path,
    *,
    ranks: Ranks = SINGLE_PROCESS,
) -> HFPolicy | RemotePolicy:
    """The policy over `model`; an engine of its own loads `start`, and then the model's weights.

    Raises ValueError if vLLM is missing, its server cannot follow the training, or several
    processes would share an engine.
    """
    engine, tokens = config.engine, config.limits.episode_tokens
    if engine.kind == "hf":
        slots = config.tasks_per_step * config.group_size
        return HFPolicy(
            model,
            tokenizer,
            slots=slots,
            cache_tokens=tokens,
            chat_options=config.chat,
        )
    if ranks.count > 1:
        raise ValueError(f"several processes need engine.kind=hf, got {engine.kind}")

    if engine.kind == "vllm_server":
        sampler = VLLMServer(Server(engine.base_url))
    else:
        # A user's `engine.options` win over what follows from the other settings.
        options: dict[str, Any] = {"max_model_len": tokens}
        if config.lora.rank:
            options |= {"enable_lora": True, "max_lora_rank": config.lora.rank}
        options |= engine.options
        sampler = VLLMEngine(start, **options)
    folder = run / WEIGHT_SYNC
    return RemotePolicy(
        model,
        tokenizer,
        sampler,
        folder,
        cache_tokens=tokens,
        chat_options=config.chat,
    )
