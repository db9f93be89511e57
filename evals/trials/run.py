"""Runs the shards of a trial that have no row yet, several processes at a time."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from evals.trials.data import TrialRow
from evals.trials.plan import Cell, Shard, TrialPlan
from evals.trials.shard import shard_process
from evals.trials.start import starting_model
from sandboxes.commands import CommandError
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.runs.log import progress

__all__ = [
    "TrialError",
    "Work",
    "check_methods",
    "missing_shards",
    "run_shards",
    "tuned_lr",
]

STOP_GRACE_S = 30.0
FORKS = multiprocessing.get_context("forkserver")
"""Of processes that have imported torch and the environments already: seconds of each run."""
FORKS.set_forkserver_preload(["evals.trials.shard"])

logger = logging.getLogger(__name__)


class TrialError(CommandError):
    """Runs of the trial failed; those that ended are kept."""


@dataclass(frozen=True)
class Work:
    """Where a trial's runs and rows are.

    | field | meaning |
    |---|---|
    | plan | the YAML file |
    | data | the file of rows |
    | runs | folder of unfinished runs |
    """

    plan: Path
    data: Path
    runs: Path


def check_methods(plan: TrialPlan) -> None:
    """Raises ValueError, naming the method, if an algorithm refuses its settings."""
    for method in plan.methods:
        config = plan.config(Shard(Cell.of(plan.cells[0]), method, plan.seeds[0]))
        try:
            algorithm_of(config)
        except ValueError as error:
            raise ValueError(f"method {method}: {error}") from error


def missing_shards(
    plan: TrialPlan, rows: Sequence[TrialRow], shards: Iterable[Shard]
) -> list[Shard]:
    """The shards without a row of these settings, each with its learning rate."""
    missing: list[Shard] = []
    for shard in shards:
        if shard.lr is None:
            shard = replace(shard, lr=tuned_lr(plan, rows, shard.method))
        digest = plan.digest(shard)
        if not any(row.is_of(shard) and row.digest == digest for row in rows):
            missing.append(shard)
    return missing


def tuned_lr(plan: TrialPlan, rows: Sequence[TrialRow], method: str) -> float:
    """The learning rate with the largest mean area under the training curve.

    On the seeds and cells of the tuning; a control has its method's. Raises ValueError if a run is
    missing.
    """
    lrs = plan.tuning.lrs
    if len(lrs) == 1:
        return lrs[0]
    method = plan.tuning_method(method)
    areas: dict[float, list[float]] = {lr: [] for lr in lrs}
    for row in rows:
        if row.stage == "tune" and row.method == method and row.lr in areas:
            areas[row.lr].append(row.area())
    expected = len(plan.tuning.seeds) * len(plan.tuning_cells)
    for lr, of_lr in areas.items():
        if len(of_lr) < expected:
            raise ValueError(
                f"{method} has {len(of_lr)} of {expected} runs at lr={lr:g} to choose by; run "
                "--stage tune first"
            )
    return max(lrs, key=lambda lr: sum(areas[lr]) / len(areas[lr]))


def run_shards(
    plan: TrialPlan,
    work: Work,
    shards: Sequence[Shard],
    *,
    workers: int,
    deadline: float,
) -> list[Shard]:
    """Plays the shards, each in a process; returns those that failed.

    After `deadline`, of the monotonic clock, no shard is started. An interrupt ends the processes,
    whose runs go on later.
    """
    # Once, before many processes need it.
    for cell in dict.fromkeys(shard.cell for shard in shards):
        starting_model(work.plan, plan, cell)

    stop = Event()
    left = list(reversed(shards))
    failed: list[Shard] = []
    running: dict[Future[int], Shard] = {}
    with (
        ThreadPoolExecutor(workers) as pool,
        progress(len(shards), "runs of the trial") as bar,
    ):
        try:
            while running or left:
                while left and len(running) < workers and time.monotonic() < deadline:
                    shard = left.pop()
                    running[pool.submit(_play, plan, work, shard, stop)] = shard
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    shard = running.pop(future)
                    if future.result():
                        failed.append(shard)
                    bar.advance(1, str(shard))
        except BaseException:
            stop.set()
            raise
    return failed


def _play(plan: TrialPlan, work: Work, shard: Shard, stop: Event) -> int:
    """The exit code of the shard's process, whose output is kept next to its run."""
    work.runs.mkdir(parents=True, exist_ok=True)
    log = work.runs / f"{shard.folder}.log"
    process = FORKS.Process(
        target=shard_process,
        args=(work.plan, plan, shard, work.data, work.runs, log),
    )
    process.start()
    while process.is_alive():
        process.join(0.5)
        if stop.is_set():
            process.terminate()
            process.join(STOP_GRACE_S)
            process.kill()
            process.join()

    code = process.exitcode or 0
    if code and not stop.is_set():
        logger.warning("%s failed with exit code %d, see %s", shard, code, log)
    else:
        log.unlink(missing_ok=True)
    return code
