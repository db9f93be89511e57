"""A training run from its settings.

The story of a run: open the run folder, load the model, measure it, teach it the tool format if
it needs that, then repeat: play groups of episodes, take one step on them, write it all down.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import TrainConfig
from scgrpo.devices import device_of
from scgrpo.distributed.ranks import Ranks, process_group
from scgrpo.loop import TrainingLoop
from scgrpo.preflight.run import check_run
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import disk_errors_explained
from scgrpo.runs.folders import CONFIG, LATEST, find_run, new_run
from scgrpo.settings import parse as settings
from scgrpo.training.optimizer import adam_of
from scgrpo.warm_start import starting_weights

__all__ = ["train"]

logger = logging.getLogger(__name__)

MAY_DIFFER = {"resume", "name", "runs", "max_steps"}
"""Settings of a resumed run that need not be those it was started with."""


def train(config: TrainConfig, given: Set[str] | None = None) -> Path:
    """Runs a whole training and returns its run folder.

    A resumed run continues with its own settings, and with more `max_steps` if given. `given` names
    the dotted settings that the user set; without it, those that are not the defaults. Raises
    ValueError if one of them differs from the run's. Under `accelerate launch` the processes
    share the work; rank 0 alone opens the run, warms up and writes.
    """
    if config.plan:
        raise ValueError("plan=true starts no run")
    # A wrong algorithm is refused before anything is loaded or opened.
    algorithm_of(config)
    with process_group(device_of(config)) as ranks:
        run = None
        if config.resume:
            resumed = ranks.broadcast_object(lambda: resumed_run(config, given))
            run, config = resumed
        # What is missing or cannot work is refused before a sandbox or a folder is made.
        ranks.broadcast_object(lambda: check_run(config))
        return _train(config, run, ranks)


def resumed_run(
    config: TrainConfig, given: Set[str] | None
) -> tuple[Path, TrainConfig]:
    """The folder of the run that `config` names, and that run's settings.

    Raises ValueError if there is no such run, or a setting of `given` differs from the run's.
    """
    run = find_run(config.runs, config.name or LATEST)
    saved = settings.load(TrainConfig, run / CONFIG)
    new_values = settings.flat(config)
    saved_values = settings.flat(saved)
    if given is None:
        defaults = settings.flat(TrainConfig())
        given = {key for key in new_values if new_values[key] != defaults[key]}

    # Other settings would make the later steps those of another run.
    conflicts: list[str] = []
    for key in sorted(given - MAY_DIFFER):
        old = saved_values[key]
        new = new_values[key]
        if new != old:
            conflicts.append(f"{key}: the run has {old}, got {new}")
    if conflicts:
        problems = "; ".join(conflicts)
        raise ValueError(f"{run} continues with its own settings; {problems}")

    if "max_steps" in given:
        saved = replace(saved, max_steps=config.max_steps)
        with disk_errors_explained(run):
            settings.save(saved, run / CONFIG)
    return run, replace(saved, runs=config.runs, resume=True)


def _train(config: TrainConfig, run: Path | None, ranks: Ranks) -> Path:
    """Trains in the folder `run`, or in a new one."""
    with Rollouts(
        config.env,
        config.limits,
        sandbox=config.sandbox,
    ) as rollouts:
        known_levels = rollouts.env.levels
        unknown = sorted(set(config.levels) - set(known_levels))
        if unknown:
            raise ValueError(
                f"levels {unknown} are not among {config.env}'s: {known_levels}"
            )

        # Rank 0 alone makes the folder and warms up; the others wait for it here.
        run, start = ranks.broadcast_object(
            lambda: _open_run(config, run, rollouts, ranks)
        )
        if ranks.device is not None:
            config = replace(config, device=str(ranks.device))
        with TrainingLoop(run, config, rollouts, start, ranks) as loop:
            loop.learn()
    return run


def _open_run(
    config: TrainConfig, run: Path | None, rollouts: Rollouts, ranks: Ranks
) -> tuple[Path, Path]:
    """The run's folder and the folder of the weights to start from."""
    # What is missing on this machine is refused before a folder is made.
    adam_of(config.optimizer)
    run = run or _new_run(config)
    logger.info("run: %s", run)
    if ranks.count > 1:
        how = (
            "the model's layers are sharded" if ranks.sharded else "each with the model"
        )
        logger.info("processes: %d, %s", ranks.count, how)
    return run, starting_weights(run, config, rollouts)


def _new_run(config: TrainConfig) -> Path:
    run = new_run(config.runs, config.name)
    with disk_errors_explained(run):
        settings.save(config, run / CONFIG)
    return run
