"""How many tokens a model can read at once, and whether a run's budgets keep to that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from envs.rollout import Limits
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.load import load_config

__all__ = [
    "budgets_beyond",
    "check_positions",
    "longest_teacher_input",
    "max_positions",
    "rotary_scalings",
    "within_positions",
]

# Their attention sees no positions, though the configuration states a number.
WITHOUT_POSITIONS = frozenset({"jamba", "kimi_linear", "nemotron_h", "rwkv", "zamba"})
MULTIPLIED = ("dynamic", "linear", "yarn")


def max_positions(config: PretrainedConfig) -> int | None:
    """The longest input of a model, in tokens; None if it has no limit.

    A model that scales its rotary positions is measured by what it states: by the larger one of
    its `max_position_embeddings` and the factor times the original number, as vLLM does. Models
    with ALiBi, state-space models and those without position embeddings have no limit, and a
    sliding window is none.
    """
    text = config.get_text_config(decoder=True)
    stated = getattr(text, "max_position_embeddings", None)
    # XLNet's relative positions are stated as -1.
    if not isinstance(stated, int) or stated < 1 or _sees_no_positions(text):
        return None

    longest = stated
    for scaling in rotary_scalings(text):
        if scaling.get("rope_type") in MULTIPLIED and scaling.get("factor"):
            original = scaling.get("original_max_position_embeddings") or stated
            longest = max(longest, int(original * scaling["factor"]))
    return longest


def longest_teacher_input(limits: Limits, reference: ReferenceLimits) -> int:
    """Most tokens that a teacher reads: an episode at its budget, with a reference in front."""
    return min(reference.input_tokens, limits.episode_tokens + reference.tokens)


def within_positions(
    reference: ReferenceLimits, config: PretrainedConfig
) -> ReferenceLimits:
    """The limits with an `input_tokens` that the model can read whole."""
    positions = max_positions(config) or reference.input_tokens
    return replace(reference, input_tokens=min(positions, reference.input_tokens))


def check_positions(
    folder: Path,
    limits: Limits,
    reference: ReferenceLimits | None = None,
    *,
    name: str = "",
) -> None:
    """Raises ValueError if a budget goes beyond the model's positions; reads its config alone.

    `reference` is that of an algorithm whose teacher reads references. Its `input_tokens` may stay
    at the default if no input can grow longer than the model's positions. `name` is the model as
    the user named it.
    """
    positions = max_positions(load_config(folder))
    if positions is None:
        return
    problems: list[str] = []
    for setting, tokens in budgets_beyond(positions, limits, reference).items():
        problems.append(
            f"{setting}={tokens} goes beyond the {positions} positions of the model "
            f"{name or folder}; set {setting}={positions} or less, or take a model with more "
            "positions"
        )
    if problems:
        raise ValueError(". ".join(problems))


def budgets_beyond(
    positions: int, limits: Limits, reference: ReferenceLimits | None
) -> dict[str, int]:
    """The settings of budgets that go beyond the model's positions, with their tokens."""
    budgets = {"limits.episode_tokens": limits.episode_tokens}
    if reference is not None:
        default = ReferenceLimits().for_episodes(limits.episode_tokens)
        is_default = reference.input_tokens in (
            default.input_tokens,
            ReferenceLimits.input_tokens,
        )
        # What defaults add for long episodes is narrowed to the model's positions.
        least = reference
        if reference.tokens == default.tokens:
            least = replace(reference, tokens=ReferenceLimits.tokens)
        is_out_of_reach = longest_teacher_input(limits, least) <= positions
        if not (is_default and is_out_of_reach):
            budgets["reference.input_tokens"] = reference.input_tokens

    return {name: tokens for name, tokens in budgets.items() if tokens > positions}


def _sees_no_positions(text: PretrainedConfig) -> bool:
    if text.model_type in WITHOUT_POSITIONS or getattr(text, "alibi", False):
        return True
    if text.model_type == "zamba2":
        return not text.use_mem_rope
    if text.model_type == "granitemoehybrid":
        return text.position_embedding_type != "rope"
    return False


def rotary_scalings(config: PretrainedConfig) -> Iterator[Mapping[str, Any]]:
    """The rotary parameters: one set for all layers, or one for each kind of layer."""
    text = config.get_text_config(decoder=True)
    parameters = getattr(text, "rope_parameters", None) or {}
    # Gemma 3's `max_position_embeddings` holds its factor already.
    if text.model_type.startswith("gemma3"):
        return
    if "rope_type" in parameters:
        yield parameters
    else:
        yield from (part for part in parameters.values() if isinstance(part, Mapping))
