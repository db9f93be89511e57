"""One run of a trial in a process of its own: train, measure on the panel, append the row.

Killed, it goes on from the run's last checkpoint; its row is written once, at the end.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from envs.types import Episode
from evals.credit_test.report import credit_report
from evals.evaluation.provenance import commit
from evals.evaluation.suites import Suite, select_tasks
from evals.trials.data import Outcomes, TrialRow, append_row
from evals.trials.plan import Shard, TrialPlan, environment
from evals.trials.start import starting_model
from scgrpo.config import TrainConfig
from scgrpo.credit.record import read_step, saved_steps
from scgrpo.devices import device_of, dtype_of
from scgrpo.launch import train
from scgrpo.models.load import load_model
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs import checkpoints
from scgrpo.runs.folders import is_run
from scgrpo.runs.log import METRICS, read_metrics

__all__ = ["end_with_command", "play_shard", "shard_process"]

PANEL_SEED = 0
"""Of the panel's tasks and their sampling, the same for every method and seed."""
PACKAGES = ("scgrpo", "torch", "transformers", "numpy")


def shard_process(
    path: Path, plan: TrialPlan, shard: Shard, data: Path, work: Path, log: Path
) -> None:
    """What the process of a shard runs; all that it prints goes to the end of `log`."""
    # Ctrl-C is for the command to pass on.
    os.setsid()
    with log.open("ab") as output:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(output.fileno(), stream.fileno())
    end_with_command()
    # Shards run side by side, one core each; small models gain nothing from more.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    play_shard(path, plan, shard, data, work)


def end_with_command() -> None:
    """From now on, this process ends with the command that asked for it, even if that is killed.

    Or its run would be held when the command is started again.
    """
    command = multiprocessing.parent_process()
    assert command is not None

    def wait() -> None:
        command.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def play_shard(
    path: Path, plan: TrialPlan, shard: Shard, data: Path, work: Path
) -> TrialRow:
    """Trains and measures; returns the row that it appends to `data`. `work` holds its run."""
    started = time.monotonic()
    start = starting_model(path, plan, shard.cell)
    config = replace(plan.config(shard), model=str(start), runs=work, name=shard.folder)
    folder = work / shard.folder
    if is_run(folder):
        config = replace(config, resume=True)
    run = train(config)
    outcomes = _measure(plan, shard, config, run)

    metrics = read_metrics(run / METRICS)
    row = TrialRow(
        cell=str(shard.cell),
        method=shard.method,
        seed=shard.seed,
        stage=shard.stage,
        lr=config.lr,
        digest=plan.digest(shard),
        curve=[_finite(row.get("episodes/success")) for row in metrics],
        tokens=_tokens(metrics, config),
        outcomes=outcomes,
        seconds=round(time.monotonic() - started, 1),
        step_size=_step_sizes(run),
        auroc=_auroc(run),
        command=_command(path, shard),
        code=environment(shard.cell.env).source,
        commit=commit() or "",
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        versions={
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
    )
    append_row(data, row)
    # The row has all that tables are made of, and it says how to make the run again.
    shutil.rmtree(run)
    return row


def _measure(
    plan: TrialPlan, shard: Shard, config: TrainConfig, run: Path
) -> dict[str, Outcomes]:
    """The trained model on the panel, split by split."""
    newest = checkpoints.latest(run / "checkpoints")
    if newest is None:
        raise ValueError(f"{run} ended without a checkpoint")
    model, tokenizer = load_model(newest, dtype=dtype_of(config))
    cell, panel = shard.cell, plan.panel
    outcomes: dict[str, Outcomes] = {}
    with (
        Rollouts(
            cell.env, config.limits, sandbox=config.sandbox, agent=config.agent
        ) as rollouts,
        HFPolicy(
            model.to(device_of(config)),
            tokenizer,
            cache_tokens=config.limits.episode_tokens,
            chat_options=config.chat,
        ) as policy,
    ):
        for split in rollouts.env.splits:
            tasks = rollouts.env.tasks(split, cell.level)
            if split == "train" or not tasks:
                continue
            suite = Suite(cell.env, cell.level, split)
            tasks = select_tasks(suite, tasks, panel.tasks, PANEL_SEED)
            episodes = rollouts(
                policy,
                tasks,
                group=panel.rollouts,
                seed=PANEL_SEED,
                description=split,
            )
            outcomes[split] = Outcomes(
                [task.id for task in tasks],
                [task.family for task in tasks],
                _letters(episodes, panel.rollouts),
            )
    return outcomes


def _letters(episodes: Sequence[Episode], rollouts: int) -> list[str]:
    """For each task a letter for each rollout."""
    letters = "".join(
        "-" if episode.verdict is None else str(int(bool(episode.verified)))
        for episode in episodes
    )
    return [letters[i : i + rollouts] for i in range(0, len(letters), rollouts)]


def _step_sizes(run: Path) -> dict[str, float]:
    """Case of the references -> mean of abs(advantage) * weight over its action tokens."""
    sums: dict[str, list[float]] = {}
    for step in saved_steps(run):
        for _, credit in read_step(run, step):
            if credit.advantage is not None and credit.weight:
                weights = [w for w in credit.weight if w is not None]
                size = abs(credit.advantage) * float(np.mean(weights))
                sums.setdefault(credit.case, []).append(size)
    return {case: round(float(np.mean(sizes)), 5) for case, sizes in sums.items()}


def _auroc(run: Path) -> dict[str, float]:
    """Signal -> AUROC on the tokens that decide; without those that nothing was weighed for."""
    try:
        data = credit_report(run).data
    except (ValueError, NotImplementedError):
        return {}
    areas = {
        f"{score['label']} {score['signal']}": score["auroc"]["value"]
        for score in data["signals"]
    }
    return {name: round(area, 4) for name, area in areas.items() if area == area}


def _command(path: Path, shard: Shard) -> str:
    """The command that makes the row if it is missing."""
    words = ["scgrpo", "court", str(path)]
    cell = [str(shard.cell), shard.method]
    match shard.stage:
        case "trial":
            words += ["--only", *cell, str(shard.seed)]
        case "again":
            words += ["--again", *cell]
        case "tune":
            # It comes before any other run.
            pass
    return shlex.join(words)


def _tokens(metrics: Sequence[Mapping[str, float]], config: TrainConfig) -> int:
    """Of all training episodes, prompts included."""
    episodes = config.tasks_per_step * config.group_size
    return round(sum(episodes * row["episodes/tokens"] for row in metrics))


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value else round(float(value), 5)
