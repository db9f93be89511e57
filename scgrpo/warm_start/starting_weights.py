"""What a new run starts from: the model's own weights, or warm-started ones.

The starting success is measured first, and the warm start runs if it is too low. Its weights are
cached by everything that goes into them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.base import TextEnv
from envs.types import Episode, Task
from scgrpo.config import TrainConfig
from scgrpo.credit.options import ReferenceLimits
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.load import load_config, load_model, recompute_activations
from scgrpo.models.sources.folders import is_model, resolve_model
from scgrpo.policies.hf import SLOTS, HFPolicy
from scgrpo.preflight.memory import (
    check_warm_start_memory,
    model_size,
    slots_that_fit,
)
from scgrpo.preflight.run import shown_reference
from scgrpo.rollouts import Rollouts, malformed_share, success_rate
from scgrpo.runs.lock import in_turn
from scgrpo.training.causes import describe_long_prompt
from scgrpo.training.memory import release_models
from scgrpo.training.open_model import with_adapters
from scgrpo.training.run_start import warm_start_cache
from scgrpo.warm_start.cache import cache_key
from scgrpo.warm_start.examples import EPISODES_PER_TASK
from scgrpo.warm_start.stage import warm_start

__all__ = ["StartingWeights", "starting_weights", "warm_started"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartingWeights:
    """What a new run starts from.

    | field | meaning |
    |---|---|
    | folder | the model's own weights, or a warm start's in the cache |
    | measured | the episodes that measured the success before it; empty if nothing was measured |
    """

    folder: Path
    measured: Sequence[Episode] = ()


def starting_weights(config: TrainConfig, rollouts: Rollouts) -> StartingWeights:
    """The weights that a new run starts from.

    Raises ValueError for a model that does not exist or cannot be loaded.
    """
    base = resolve_model(config.model)
    measured: list[Episode] = []
    if config.warm_start.mode == "auto" and not config.agent.command:
        measured = _starting_episodes(base, config, rollouts)
        release_models()
    if not _needs_warm_start(measured, config, rollouts):
        return StartingWeights(base, measured)
    level = _first_level(config, rollouts)
    folder = warm_started(base, config, rollouts, level)
    # Or the training would need the room of both.
    release_models()
    return StartingWeights(folder, measured)


def warm_started(
    base: Path, config: TrainConfig, rollouts: Rollouts, level: int
) -> Path:
    """The warm-started weights in the cache, which runs of the same settings share."""
    options, dtype = config.warm_start, dtype_of(config)
    reference = _taught_reference(config)
    key = cache_key(
        base,
        rollouts.env,
        level,
        options,
        str(dtype),
        config.seed,
        config.chat,
        reference,
        config.lora,
    )
    cached = warm_start_cache() / key
    if is_model(cached):
        logger.info("warm start: loaded from the cache, %s", cached)
        return cached
    # Runs of a sweep begin at once: one makes it, and none replaces what another one reads.
    with in_turn(cached.with_name(f".{key}.lock"), "warm start"):
        if is_model(cached):
            logger.info("warm start: made by another run, %s", cached)
            return cached
        check_warm_start_memory(config, model_size(load_config(base), config.lora.rank))
        model, tokenizer = load_model(base, dtype=dtype)
        # What the run trains is what it takes memory for here, too.
        model = with_adapters(model.to(device_of(config)), config.lora)
        if config.activation_checkpointing:
            recompute_activations(model)
        warm_start(
            cached,
            model,
            tokenizer,
            rollouts,
            level,
            options,
            seed=config.seed,
            chat_options=config.chat,
            reference=reference,
            offload=config.optimizer_offload,
            merge_adapters=config.lora.rank > 0,
        )
    return cached


def _taught_reference(config: TrainConfig) -> ReferenceLimits | None:
    """How much of a reference the warm start shows; None if it teaches the format alone."""
    match config.warm_start.references:
        case "never":
            return None
        case "always":
            return config.shown_reference
        case "auto":
            return shown_reference(config)


def _needs_warm_start(
    measured: Sequence[Episode], config: TrainConfig, rollouts: Rollouts
) -> bool:
    options = config.warm_start
    if options.mode != "auto":
        return options.mode == "always"
    # Nothing was measured: a warm start has no episodes of agents to learn from.
    if config.agent.command:
        return False
    if success_rate(measured) >= options.success_threshold:
        return False
    if type(rollouts.env).random_turn is TextEnv.random_turn:
        message = "no warm start: %s defines no random_turn to learn from"
        logger.warning(message, config.env)
        return False
    return True


def _first_level(config: TrainConfig, rollouts: Rollouts) -> int:
    return (config.levels or rollouts.env.levels)[0]


def _starting_episodes(
    base: Path, config: TrainConfig, rollouts: Rollouts
) -> list[Episode]:
    """The untrained model's on training tasks of the first level; their success is logged."""
    model, tokenizer = load_model(base, dtype=dtype_of(config))
    model.to(device_of(config))
    slots = slots_that_fit(config, model_size(load_config(base)), SLOTS)

    # Spread over the level, because neighbours may be of one kind.
    level = _first_level(config, rollouts)
    count = config.warm_start.measure_episodes // EPISODES_PER_TASK
    tasks = _spread(rollouts.env.tasks("train", level), count)
    cache_tokens = config.limits.episode_tokens
    with HFPolicy(
        model,
        tokenizer,
        slots=slots,
        cache_tokens=cache_tokens,
        chat_options=config.chat,
    ) as policy:
        episodes = rollouts(
            policy,
            tasks,
            group=EPISODES_PER_TASK,
            seed=config.seed,
            description="starting success",
        )

    # No success was measured, so none is too low: a warm start would not help.
    if all(episode.prompt_too_long for episode in episodes):
        raise ValueError(
            f"no episode of level {level} can begin: {describe_long_prompt(episodes[0])}"
        )

    success = success_rate(episodes)
    threshold = config.warm_start.success_threshold
    decision = f"under {100 * threshold:.0f} %, so a warm start"
    logger.info(
        "starting success %.1f %% of %d episodes, %.0f %% of the turns malformed: %s",
        100 * success,
        len(episodes),
        100 * malformed_share(episodes),
        "no warm start" if success >= threshold else decision,
    )
    return episodes


def _spread(tasks: Sequence[Task], count: int) -> list[Task]:
    """`count` tasks, evenly spaced over the sequence."""
    count = max(1, min(count, len(tasks)))
    last = len(tasks) - 1
    places = np.linspace(0, last, count)
    nearest = places.round().astype(int).tolist()
    return [tasks[place] for place in nearest]
