"""Opens the policy that samples a run's episodes, by `engine.kind`."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scgrpo.config import TrainConfig
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
) -> HFPolicy | RemotePolicy:
    """The policy over `model`; an engine of its own loads `start`, and then the model's weights.

    Raises ValueError where vLLM is missing or its server cannot follow the training.
    """
    engine, tokens = config.engine, config.limits.episode_tokens
    if engine.kind == "hf":
        slots = config.tasks_per_step * config.group_size
        return HFPolicy(model, tokenizer, slots=slots, cache_tokens=tokens)
    if engine.kind == "vllm_server":
        sampler = VLLMServer(Server(engine.base_url))
    else:
        adapters = (
            {"enable_lora": True, "max_lora_rank": config.lora.rank}
            if config.lora.rank
            else {}
        )
        sampler = VLLMEngine(
            start, **{"max_model_len": tokens, **adapters, **engine.options}
        )
    return RemotePolicy(
        model, tokenizer, sampler, run / WEIGHT_SYNC, cache_tokens=tokens
    )
