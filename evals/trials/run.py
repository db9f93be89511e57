"""Runs the shards of a trial that have no row yet, several processes at a time."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from evals.trials.data import TrialRow
from evals.trials.plan import Cell, Shard, TrialPlan
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
    """The learning rate with the largest mean area under the training curve over all cells.

    On the seeds of the tuning alone. Raises ValueError if its runs are not complete.
    """
    lrs = plan.tuning.lrs
    if len(lrs) == 1:
        return lrs[0]
    areas: dict[float, list[float]] = {lr: [] for lr in lrs}
    for row in rows:
        if row.stage == "tune" and row.method == method and row.lr in areas:
            areas[row.lr].append(row.area())
    expected = len(plan.tuning.seeds) * len(plan.cells)
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
                    running[pool.submit(_play, work, shard, stop)] = shard
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


def _play(work: Work, shard: Shard, stop: Event) -> int:
    """The exit code of the shard's process, whose output is kept next to its run."""
    work.runs.mkdir(parents=True, exist_ok=True)
    log = work.runs / f"{shard.folder}.log"
    words = [work.plan, shard.cell, shard.method, shard.seed, shard.lr, shard.stage]
    words += ["--data", work.data, "--work", work.runs]
    # Small models gain nothing from a second core, and another shard does.
    variables = {"OMP_NUM_THREADS": "1", **os.environ}
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-m", "evals.trials.shard", *map(str, words)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            # Ctrl-C is this process's to pass on.
            start_new_session=True,
        ) as process,
    ):
        while process.poll() is None:
            if stop.wait(0.5):
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_GRACE_S)
                process.kill()
        code = process.wait()
    if code and not stop.is_set():
        logger.warning("%s failed with exit code %d, see %s", shard, code, log)
    else:
        log.unlink()
    return code
