"""A training run from its settings.

The story of a run: measure the model, teach it the tool format if it needs that, load it, make the
run's folder, then repeat: play groups of episodes, take one step on them, write it all down.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from envs.store import write_episodes
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, unused_gpu
from scgrpo.distributed.mesh import ranks_on_mesh
from scgrpo.distributed.ranks import Ranks, process_group
from scgrpo.loop import TrainingLoop
from scgrpo.models.sources.folders import is_model, resolve_model
from scgrpo.preflight.engine import with_engine
from scgrpo.preflight.gaps import log_gap
from scgrpo.preflight.run import check_run
from scgrpo.preflight.start import check_trainable
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import disk_errors_explained
from scgrpo.runs.folders import (
    CONFIG,
    LATEST,
    STARTING_EPISODES,
    StartingRun,
    find_run,
    starting_run,
)
from scgrpo.runs.lock import only_writer
from scgrpo.settings import parse as settings
from scgrpo.training.interrupts import Interrupts
from scgrpo.training.optimizer import adam_of
from scgrpo.training.run_start import keep_start, saved_start, warm_start_cache
from scgrpo.warm_start.starting_weights import StartingWeights, starting_weights

__all__ = ["train"]

logger = logging.getLogger(__name__)

NO_RUN = "stopped before training began, so there is no run"
MAY_DIFFER = {
    "resume",
    "name",
    "runs",
    "max_steps",
    "engine.servers",
    "mesh",
    "rollout_workers",
}
"""Settings of a resumed run that need not be those it was started with."""


def train(config: TrainConfig, given: Set[str] | None = None) -> Path:
    """Runs a whole training and returns its run folder.

    A resumed run continues with its own settings, and with more `max_steps`, other `engine.servers`
    or `rollout_workers` or another `mesh` if given. `given` names the dotted settings that the user
    set; without it, those that are not the defaults. Raises ValueError if one of them differs from
    the run's. Under `accelerate launch` the processes share the work; rank 0 alone opens the run,
    warms up and writes. It holds the run meanwhile: a second process is refused with ValueError. A
    start that fails leaves no run.
    """
    if config.plan:
        raise ValueError("plan=true starts no run")
    # A wrong algorithm is refused before anything is loaded or opened.
    algorithm_of(config)
    if problem := unused_gpu(config):
        logger.warning(problem)
    with (
        process_group(device_of(config)) as ranks,
        Interrupts(config.stop_grace_s, ranks.watch),
        ExitStack() as held,
    ):
        if not config.resume:
            # What is missing or cannot work is refused before a sandbox or a folder is made.
            config = ranks.broadcast_object(
                lambda: _runnable_settings(config, ranks.count)
            )
            return _train_new(config, ranks)
        run, config = ranks.broadcast_object(lambda: resumed_run(config, given, held))
        start = ranks.broadcast_object(lambda: saved_start(run, config))
        ranks.broadcast_object(lambda: check_run(config, start, processes=ranks.count))
        return _train_on(run, config, start, ranks)


def _runnable_settings(config: TrainConfig, processes: int) -> TrainConfig:
    """The settings of a new run that can work, with the engine that it will have."""
    config = with_engine(config, processes)
    check_run(config, processes=processes)
    return config


def resumed_run(
    config: TrainConfig, given: Set[str] | None, held: ExitStack
) -> tuple[Path, TrainConfig]:
    """The folder of the run that `config` names, and that run's settings.

    The run is held until `held` is closed. Raises ValueError if there is no such run, another
    process holds it, or a setting of `given` differs from the run's.
    """
    run = find_run(config.runs, config.name or LATEST)
    held.enter_context(only_writer(run, "stop that first, or train another run"))
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

    changes = {
        name: getattr(config, name)
        for name in ("max_steps", "rollout_workers", "mesh")
        if name in given
    }
    if "engine.servers" in given:
        changes["engine"] = replace(saved.engine, servers=config.engine.servers)
    if changes:
        saved = replace(saved, **changes)
        with disk_errors_explained(run):
            settings.save(saved, run / CONFIG)
    return run, replace(saved, runs=config.runs, resume=True)


def _train_new(config: TrainConfig, ranks: Ranks) -> Path:
    """Trains a new run, whose folder is there once nothing can refuse it any more."""
    with ExitStack() as stack:
        with _interrupts_explained(NO_RUN):
            rollouts = stack.enter_context(_open_rollouts(config, ranks))
            starting, start = ranks.broadcast_object(
                lambda: _start(config, rollouts, ranks, stack)
            )
            run, weights = starting.path, _on_this_machine(start.folder, config, ranks)
            # An engine of its own reads its weights from the run's folder.
            needs_folder = not config.engine.samples_itself
            if needs_folder:
                ranks.broadcast_object(lambda: _open(starting, config, start))
            loop = stack.enter_context(
                _open_loop(run, config, rollouts, weights, ranks)
            )
            if not needs_folder:
                ranks.broadcast_object(lambda: _open(starting, config, start))
            _check_shared(run, ranks)
        try:
            loop.learn(on_start=starting.begin)
        except KeyboardInterrupt as error:
            is_lost = ranks.is_main_process and not starting.has_begun
            message = NO_RUN if is_lost else _how_to_continue(run)
            raise type(error)(message) from error
    return run


def _train_on(run: Path, config: TrainConfig, start: Path | None, ranks: Ranks) -> Path:
    """Trains on in a run that has begun; without a saved `start` from the model's weights."""
    with _interrupts_explained(_how_to_continue(run)), ExitStack() as stack:
        rollouts = stack.enter_context(_open_rollouts(config, ranks))
        _log_run(run, ranks)
        if start is None:
            start = ranks.broadcast_object(lambda: _start_again(run, config, rollouts))
        _check_shared(run, ranks)
        start = _on_this_machine(start, config, ranks)
        loop = stack.enter_context(_open_loop(run, config, rollouts, start, ranks))
        loop.learn()
    return run


@contextmanager
def _interrupts_explained(message: str) -> Iterator[None]:
    """Gives Ctrl-C and SIGTERM in the block the message that the command ends with."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise type(error)(message) from error


def _how_to_continue(run: Path) -> str:
    command = f"scgrpo train resume=true name={shlex.quote(run.name)}"
    if run.parent != TrainConfig.runs:
        command += f" runs={shlex.quote(str(run.parent))}"
    return f"stopped; continue with: {command}"


@contextmanager
def _open_rollouts(config: TrainConfig, ranks: Ranks) -> Iterator[Rollouts]:
    """The environment to train on. Raises ValueError if it lacks `train` or one of the levels."""
    sandbox = config.sandbox
    if sandbox.size:
        # The processes share the engines, so they share their sandboxes too.
        sandbox = replace(sandbox, size=-(-sandbox.size // ranks.count))
    with Rollouts(
        config.env,
        config.limits,
        sandbox=sandbox,
        threads=config.threads(ranks.count),
        agent=config.agent,
        workers=len(ranks.shard_range(config.rollout_workers)),
    ) as rollouts:
        check_trainable(rollouts.env, config.levels, config.env)
        yield rollouts


def _start(
    config: TrainConfig, rollouts: Rollouts, ranks: Ranks, stack: ExitStack
) -> tuple[StartingRun, StartingWeights]:
    """The run, whose name is taken until `stack` is closed, and the weights to start from.

    Rank 0 alone takes the name, warms up and says what is known of the weights.
    """
    # What is missing on this machine is refused before hours of a warm start.
    adam_of(config.optimizer)
    starting = stack.enter_context(starting_run(config.runs, config.name))
    _log_run(starting.path, ranks)
    start = starting_weights(config, rollouts)
    log_gap(config, start.folder, rollouts.env)
    return starting, start


def _on_this_machine(folder: Path, config: TrainConfig, ranks: Ranks) -> Path:
    """The starting weights that rank 0 chose, as this machine has them.

    A model of the hub is fetched by each machine that lacks it. Raises ValueError (PeerLostError on
    the other ranks) if weights were made on rank 0's machine and lie on no shared disk.
    """

    def own() -> Path:
        if is_model(folder):
            return folder
        is_warm = folder.parent == warm_start_cache()
        local = None if is_warm else resolve_model(config.model)
        # A snapshot of the hub is named by its commit.
        if local is None or local.name != folder.name:
            raise ValueError(
                f"{folder} is not on the machine of process {ranks.rank}: put it, and "
                "SCGRPO_CACHE, on a disk that all machines share"
            )
        return local

    return ranks.results_of(own)[ranks.rank]


def _check_shared(run: Path, ranks: Ranks) -> None:
    """Raises ValueError, and PeerLostError on the other ranks, for a run that some cannot see."""

    def check() -> None:
        if not run.is_dir():
            raise ValueError(
                f"{run} is not on the machine of process {ranks.rank}: runs=FOLDER must lie on a "
                "disk that all machines share"
            )

    ranks.results_of(check)


def _open(starting: StartingRun, config: TrainConfig, start: StartingWeights) -> None:
    """Makes the run's folder with what a run has from the beginning."""

    def fill(folder: Path) -> None:
        """Writes the settings, and what the results need of the cache."""
        settings.save(config, folder / CONFIG)
        _keep(folder, config, start)

    starting.open(fill)


def _start_again(run: Path, config: TrainConfig, rollouts: Rollouts) -> Path:
    """The weights of a run that has no checkpoint and no start of its own."""
    adam_of(config.optimizer)
    start = starting_weights(config, rollouts)
    with disk_errors_explained(run):
        _keep(run, config, start)
    return start.folder


def _keep(folder: Path, config: TrainConfig, start: StartingWeights) -> None:
    keep_start(folder, start.folder, has_adapters=config.lora.rank > 0)
    if start.measured:
        path = folder / STARTING_EPISODES
        path.unlink(missing_ok=True)
        write_episodes(path, start.measured)


def _log_run(run: Path, ranks: Ranks) -> None:
    if not ranks.is_main_process:
        return
    logger.info("run: %s", run)
    if ranks.count > 1:
        how = (
            "the model's layers are sharded" if ranks.sharded else "each with the model"
        )
        logger.info("processes: %d, %s", ranks.count, how)


def _open_loop(
    run: Path, config: TrainConfig, rollouts: Rollouts, start: Path, ranks: Ranks
) -> TrainingLoop:
    if ranks.device is not None:
        config = replace(config, device=str(ranks.device))
    ranks = ranks_on_mesh(ranks, config.mesh)
    return TrainingLoop(run, config, rollouts, start, ranks)
