"""`python -m scgrpo.train`: learns from verified episodes, step by step, and keeps everything.

The story of a run: open the run folder, load the model, measure it, teach it the tool format if
it needs that, then repeat: play groups of episodes, take one step on them, write it all down.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

import gymnasium
from transformers.utils import logging as transformers_logging

from sandboxes import SandboxError
from scgrpo import plan
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import TrainConfig
from scgrpo.devices import device_of
from scgrpo.distributed.ranks import (
    PeerLostError,
    Ranks,
    is_main_process,
    process_group,
)
from scgrpo.loop import TrainingError, TrainingLoop
from scgrpo.models.load import resolve_model
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import DiskError, disk_errors_explained
from scgrpo.runs.folders import CONFIG, LATEST, find_run, new_run
from scgrpo.runs.log import to_terminal
from scgrpo.settings import parse as settings
from scgrpo.start import starting_weights
from scgrpo.training.checkpoint import CheckpointError
from scgrpo.training.optimizer import adam_of

__all__ = ["main", "train"]

PROG = "python -m scgrpo.train"
EXAMPLES = (
    "env=swe_lite",
    "env=swe_lite algo=grpo seed=1 name=baseline",
    "env=toy_guess model=FOLDER warm_start.mode=never",
    "env=my_package.my_module:me/my_env credit.control=shuffled",
    "env=swe_lite algo=my_rules:MY_ALGORITHM",
    "env=swe_lite resume=true",
)

logger = logging.getLogger("scgrpo.train")


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 for what broke, 2 for bad settings, 130 for Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    config = settings.parse(TrainConfig, argv, prog=PROG, examples=EXAMPLES)
    to_terminal(logging.INFO if is_main_process() else logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        if config.plan:
            if is_main_process():
                print(plan.text(config))
            return
        train(config, settings.given_keys(TrainConfig, argv))
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: {PROG} resume=true", file=sys.stderr)
        sys.exit(130)
    except (ValueError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except (
        SandboxError,
        DiskError,
        CheckpointError,
        TrainingError,
        PeerLostError,
    ) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(1)


def train(config: TrainConfig, given: Set[str] | None = None) -> Path:
    """Runs a whole training and returns its run folder.

    A resumed run goes on with its own settings, and with more `steps` if asked. `given` names the
    dotted settings that were asked for; without it, those that are not the defaults. Raises
    ValueError where one of them differs from the run's. Under `accelerate launch` the processes
    share the work; rank 0 alone opens the run, warms up and writes.
    """
    if config.plan:
        raise ValueError("plan=true starts no run")
    algorithm_of(config)
    with process_group(device_of(config)) as ranks:
        return _train(config, given, ranks)


def _train(asked: TrainConfig, given: Set[str] | None, ranks: Ranks) -> Path:
    found: Path | None = None
    config = asked
    if asked.resume:
        found, config = ranks.broadcast_object(lambda: _run_to_go_on(asked, given))
    with Rollouts(config.env, config.limits, sandbox=config.sandbox) as play:
        if unknown := sorted(set(config.levels) - set(play.env.levels)):
            raise ValueError(
                f"levels {unknown} are not among {config.env}'s: {play.env.levels}"
            )

        def opened() -> tuple[Path, Path]:
            resolve_model(config.model)
            adam_of(config.optimizer)
            run = found or _new_run(config)
            logger.info("run: %s", run)
            if ranks.count > 1:
                how = (
                    "the model's layers are sharded"
                    if ranks.sharded
                    else "each with the model"
                )
                logger.info("processes: %d, %s", ranks.count, how)
            return run, starting_weights(run, config, play)

        run, start = ranks.broadcast_object(opened)
        mine = (
            config
            if ranks.device is None
            else replace(config, device=str(ranks.device))
        )
        with TrainingLoop(run, mine, play, start, ranks) as learner:
            learner.learn()
    return run


def _new_run(config: TrainConfig) -> Path:
    run = new_run(config.runs, config.name)
    with disk_errors_explained(run):
        settings.save(config, run / CONFIG)
    return run


def _run_to_go_on(
    config: TrainConfig, given: Set[str] | None
) -> tuple[Path, TrainConfig]:
    """The folder of the run that `config` names, and that run's settings."""
    run = find_run(config.runs, config.name or LATEST)
    saved = settings.load(TrainConfig, run / CONFIG)
    got, kept, usual = (settings.flat(c) for c in (config, saved, TrainConfig()))
    asked = (
        given if given is not None else {key for key in got if got[key] != usual[key]}
    )
    changed = [
        f"{key}: the run has {kept[key]}, got {got[key]}"
        for key in sorted(asked - {"resume", "name", "runs", "max_steps"})
        if got[key] != kept[key]
    ]
    if changed:
        raise ValueError(f"{run} goes on with its own settings; {'; '.join(changed)}")
    if "max_steps" in asked:
        saved = replace(saved, max_steps=config.max_steps)
        with disk_errors_explained(run):
            settings.save(saved, run / CONFIG)
    return run, replace(saved, runs=config.runs, resume=True)


if __name__ == "__main__":
    main()
