"""The weights that RL starts from: the model's own, or a warm start's where it needs one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.base import TextEnv
from envs.types import Task
from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.loop import malformed_share
from scgrpo.models.load import cache_folder, is_model, load_model, resolve_model
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts, success_rate
from scgrpo.training import checkpoint
from scgrpo.warm_start import cache_key, warm_start

__all__ = ["starting_weights"]

logger = logging.getLogger(__name__)

GROUP = 4


def starting_weights(run: Path, config: TrainConfig, play: Rollouts) -> Path:
    """The folder to load. A warm start is linked as `run/warm_start`, where a resumed run finds it.

    Raises ValueError for a model that cannot be found or loaded.
    """
    link, base, options = (
        run / "warm_start",
        resolve_model(config.model),
        config.warm_start,
    )
    if link.is_dir():
        return link.resolve()
    started = config.resume and checkpoint.latest(run / "checkpoints") is not None
    if started or options.mode == "never":
        return base
    if (
        options.mode == "auto"
        and _starting_success(base, config, play) >= options.success_threshold
    ):
        return base
    if options.mode == "auto" and type(play.env).random_turn is TextEnv.random_turn:
        logger.warning(
            "no warm start: %s defines no random_turn to learn from", config.env
        )
        return base
    level = (config.levels or play.env.levels)[0]
    key = cache_key(base, play.env, level, options, str(dtype_of(config)), config.seed)
    cached = cache_folder() / "warm_start" / key
    if is_model(cached):
        logger.info("warm start: taken from the cache, %s", cached)
    else:
        model, tokenizer = load_model(base, dtype=dtype_of(config))
        model.to(device_of(config))
        warm_start(cached, model, tokenizer, play, level, options, seed=config.seed)
    link.unlink(missing_ok=True)  # it may point to a cache that was cleared
    link.symlink_to(cached, target_is_directory=True)
    return cached


def _starting_success(base: Path, config: TrainConfig, play: Rollouts) -> float:
    """Measures the untrained model on training tasks of the first level, and says so."""
    model, tokenizer = load_model(base, dtype=dtype_of(config))
    model.to(device_of(config))
    level = (config.levels or play.env.levels)[0]
    tasks = _spread(
        play.env.tasks("train", level), config.warm_start.measure_episodes // GROUP
    )
    with HFPolicy(
        model, tokenizer, cache_tokens=config.limits.episode_tokens
    ) as policy:
        episodes = play(
            policy, tasks, group=GROUP, seed=config.seed, description="starting success"
        )
    success, below = success_rate(episodes), config.warm_start.success_threshold
    logger.info(
        "starting success %.1f %% of %d episodes, %.0f %% of the turns malformed: %s",
        100 * success,
        len(episodes),
        100 * malformed_share(episodes),
        "no warm start"
        if success >= below
        else f"under {100 * below:.0f} %, so a warm start",
    )
    return success


def _spread(tasks: Sequence[Task], count: int) -> list[Task]:
    """`count` tasks, evenly spaced over the sequence."""
    places = (
        np.linspace(0, len(tasks) - 1, max(1, min(count, len(tasks))))
        .round()
        .astype(int)
    )
    return [tasks[int(place)] for place in places]
