"""Tiny random models of many families, from transformers' own configurations.

Each has what sets its family apart: windows, experts, recurrent layers, scaled logits, and the chat
template that TRL ships for it, with the control tokens that the template names.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from scgrpo.models.tiny import CHAT_TEMPLATE

__all__ = ["FAMILIES", "Family", "family_tokenizer", "make_family", "template_tokens"]

COMMON: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 4096,
    # Five times the usual: the distributions of so small a model would all be uniform.
    "initializer_range": 0.1,
}
WINDOW = {"sliding_window": 16}
SLIDING_LAYERS = {
    "num_hidden_layers": 3,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
ROUTED_EXPERTS = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 16,
}
LINEAR_ATTENTION = {
    "num_hidden_layers": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
NEXT = {**EXPERTS, **LINEAR_ATTENTION, "shared_expert_intermediate_size": 16}
MAMBA = {"mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 16}


@dataclass(frozen=True)
class Family:
    """How a tiny model of a family is made.

    | field | meaning |
    |---|---|
    | config | transformers' configuration class, by name |
    | options | what it is given besides `COMMON` |
    | template | TRL's file of the chat template, without its suffix; empty: ChatML |
    """

    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    template: str = ""

    def configuration(self, **tokens: Any) -> PretrainedConfig:
        """The configuration; `tokens` are `vocab_size` and the ids of special tokens."""
        kind = getattr(transformers, self.config)
        return kind(**{**COMMON, **self.options, **tokens})


FAMILIES: Mapping[str, Family] = {
    "llama": Family("LlamaConfig", template="llama3_1"),
    "llama-tied": Family("LlamaConfig", {"tie_word_embeddings": True}, "llama3_2"),
    "llama-4": Family(
        "Llama4TextConfig",
        {
            "num_hidden_layers": 4,
            "attention_chunk_size": 16,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "intermediate_size_mlp": 48,
            "interleave_moe_layer_step": 2,
        },
    ),
    "smollm3": Family("SmolLM3Config", {"no_rope_layer_interval": 2}),
    "qwen2": Family("Qwen2Config", template="qwen2_5"),
    "qwen2-window": Family(
        "Qwen2Config",
        {**WINDOW, "use_sliding_window": True, "max_window_layers": 1},
        "qwen2_5",
    ),
    "qwen2-moe": Family(
        "Qwen2MoeConfig", {**EXPERTS, "shared_expert_intermediate_size": 16}, "qwen2_5"
    ),
    "qwen3": Family("Qwen3Config", template="qwen3"),
    "qwen3-moe": Family("Qwen3MoeConfig", EXPERTS, "qwen3_instruct_2507"),
    "qwen3-next": Family("Qwen3NextConfig", NEXT, "qwen3_instruct_2507"),
    "qwen3.5": Family("Qwen3_5TextConfig", LINEAR_ATTENTION, "qwen3_5_think"),
    "qwen3.5-moe": Family("Qwen3_5MoeTextConfig", NEXT, "qwen3_6"),
    "gemma": Family("GemmaConfig", template="gemma"),
    "gemma-2": Family(
        "Gemma2Config",
        {
            **WINDOW,
            "query_pre_attn_scalar": 8,
            "final_logit_softcapping": 3.0,
            "attn_logit_softcapping": 2.0,
        },
        "gemma",
    ),
    "gemma-3": Family(
        "Gemma3TextConfig",
        {
            **WINDOW,
            "query_pre_attn_scalar": 8,
            **SLIDING_LAYERS,
        },
        "gemma3",
    ),
    "gemma-4": Family(
        "Gemma4TextConfig",
        {
            **WINDOW,
            **SLIDING_LAYERS,
            "global_head_dim": 16,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 288,
        },
        "gemma4",
    ),
    "gpt-oss": Family("GptOssConfig", {**WINDOW, **LOCAL_EXPERTS}, "gptoss"),
    "mistral": Family("MistralConfig", WINDOW),
    "ministral": Family("MinistralConfig", WINDOW),
    # Sixteen times the positions that its YaRN starts from.
    "ministral-3": Family("Ministral3Config", {"max_position_embeddings": 262144}),
    "mixtral": Family("MixtralConfig", LOCAL_EXPERTS),
    "olmo-2": Family("Olmo2Config"),
    "olmo-3": Family("Olmo3Config", {**WINDOW, "num_hidden_layers": 4}),
    "cohere": Family("CohereConfig", {"logit_scale": 0.25}, "cohere"),
    "cohere-2": Family(
        "Cohere2Config",
        {**WINDOW, "num_hidden_layers": 4, "logit_scale": 0.25},
        "cohere2",
    ),
    "exaone-4": Family("Exaone4Config", {**WINDOW, "num_hidden_layers": 4}),
    "falcon-h1": Family(
        "FalconH1Config",
        {**MAMBA, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_n_groups": 1},
    ),
    "gpt-2": Family("GPT2Config", {"n_inner": 48}),
    "opt": Family("OPTConfig", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "pythia": Family("GPTNeoXConfig"),
    "bloom": Family("BloomConfig"),
    "nemotron": Family("NemotronConfig"),
    "nemotron-h": Family(
        "NemotronHConfig",
        {
            **ROUTED_EXPERTS,
            "num_hidden_layers": 4,
            "layers_block_type": ["mamba", "moe", "attention", "mlp"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 8,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 16,
            "moe_shared_expert_intermediate_size": 16,
        },
        "nemotron_3_nano",
    ),
    "deepseek-v3": Family(
        "DeepseekV3Config",
        {
            **ROUTED_EXPERTS,
            "head_dim": 4,
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "first_k_dense_replace": 1,
        },
        "deepseekv3",
    ),
    "glm-4": Family("Glm4Config", template="glm4moe"),
    "glm-4-moe": Family(
        "Glm4MoeConfig", {**ROUTED_EXPERTS, "first_k_dense_replace": 1}, "glm4moe"
    ),
    "granite": Family(
        "GraniteConfig",
        {
            "logits_scaling": 4.0,
            "attention_multiplier": 0.2,
            "residual_multiplier": 0.5,
            "embedding_multiplier": 2.0,
        },
    ),
    "granite-hybrid": Family(
        "GraniteMoeHybridConfig",
        {
            **MAMBA,
            "mamba_n_heads": 8,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "shared_intermediate_size": 16,
            "layer_types": ["mamba", "attention"],
            "logits_scaling": 4.0,
        },
    ),
    "phi-3": Family("Phi3Config", {**WINDOW, "tie_word_embeddings": False}, "phi3"),
    "starcoder-2": Family("Starcoder2Config", WINDOW),
    "lfm2": Family(
        "Lfm2Config",
        {
            "num_hidden_layers": 3,
            "layer_types": ["conv", "full_attention", "conv"],
            "block_auto_adjust_ff_dim": False,
        },
        "lfm2",
    ),
}

# What begins a text and what ends a turn, by the family that a template belongs to.
BOUNDARIES: Mapping[str, tuple[str, str]] = {
    "": ("<|im_start|>", "<|im_end|>"),
    "cohere": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
    "deepseek": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "gemma": ("<bos>", "<end_of_turn>"),
    "gemma4": ("<bos>", "<turn|>"),
    "glm": ("<|endoftext|>", "<|observation|>"),
    "gptoss": ("<|startoftext|>", "<|return|>"),
    "lfm2": ("<|startoftext|>", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
    "phi3": ("<s>", "<|end|>"),
}
PADDING = "<|pad|>"

_CONTROL = re.compile(
    r"<[|｜][^<>\n'{}]*?[|｜]?>|<[a-z_]+\|>|<[A-Z_]+>"  # <|im_end|>, <turn|>, <BOS_TOKEN>
    r"|</?[a-z_]+>"  # <think>, </tool_call>
    r"|\[/?[A-Z_]+\]|\[gMASK\]"  # [INST]
)
# What the templates spell with letters.
_TEXT = re.compile(r"</?(parameter|function|tools|IMPORTANT|arg_\w+)")


def make_family(name: str, folder: Path, *, seed: int = 0) -> Path:
    """Saves a random model of the family with its tokenizer in `folder`, which it returns.

    The model has some rows more than the tokenizer has tokens, as most models do. Raises ValueError
    for an unknown family, ImportError if the family's template needs TRL and it is not installed.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; expected one of {sorted(FAMILIES)}")
    family = FAMILIES[name]
    tokenizer = family_tokenizer(family.template)
    model = _random_model(family, tokenizer, seed)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def family_tokenizer(template: str) -> PreTrainedTokenizerFast:
    """A byte-by-byte tokenizer with TRL's chat template of that name; ChatML for none.

    The template's control tokens are tokens; they are special if they have bars or brackets. The
    token that ends a turn is the tokenizer's eos.
    """
    text = _template_text(template)
    tokens = template_tokens(text)
    special = [token for token in tokens if _is_special(token)]

    tokenizer = _byte_tokenizer(*_boundaries(template))
    tokenizer.chat_template = text
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([token for token in tokens if token not in special])
    return tokenizer


def _byte_tokenizer(bos: str, eos: str) -> PreTrainedTokenizerFast:
    """A token for each byte, the padding, what begins a text and what ends a turn.

    transformers rebuilds Qwen's tokenizers from vocabulary and merges, whatever their folder says:
    only bytes survive that.
    """
    tokens = list(dict.fromkeys([PADDING, bos, eos, *sorted(ByteLevel.alphabet())]))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = ByteLevelDecoder()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        pad_token=PADDING,
        clean_up_tokenization_spaces=False,
        model_max_length=COMMON["max_position_embeddings"],
    )


def template_tokens(template: str) -> list[str]:
    """The control tokens that the text of a template names, sorted."""
    tokens = set(_CONTROL.findall(template))
    return sorted(token for token in tokens if not _TEXT.match(token))


def _is_special(token: str) -> bool:
    has_bar = "|" in token or "｜" in token
    return has_bar or token[0] == "[" or token.isupper()


def _boundaries(template: str) -> tuple[str, str]:
    """The tokens of `BOUNDARIES` whose family is the longest start of the template's name."""
    families = [family for family in BOUNDARIES if template.startswith(family)]
    return BOUNDARIES[max(families, key=len)]


def _template_text(template: str) -> str:
    if not template:
        return CHAT_TEMPLATE
    package = importlib.util.find_spec("trl")
    if package is None or package.origin is None:
        raise ImportError(
            "the chat templates of tiny families are those that TRL ships: pip install trl"
        )
    folder = Path(package.origin).parent / "chat_templates"
    return folder.joinpath(f"{template}.jinja").read_text(encoding="utf-8")


def _random_model(
    family: Family, tokenizer: PreTrainedTokenizerFast, seed: int
) -> PreTrainedModel:
    rows = len(tokenizer) // 16 * 16 + 16
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = family.configuration(vocab_size=rows, **ids)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config)
