"""`python -m scgrpo.train`: learns from verified episodes, step by step, and keeps everything.

The story of a run: open the run folder, load the model, measure it, teach it the tool format if
it needs that, then repeat: play groups of episodes, take one step on them, write it all down.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import gymnasium

from sandboxes import SandboxError
from scgrpo import models, runs, settings
from scgrpo.checkpoint import CheckpointError
from scgrpo.config import TrainConfig
from scgrpo.disk import DiskError
from scgrpo.learner import Learner, TrainingError
from scgrpo.log import to_terminal
from scgrpo.rollouts import Rollouts
from scgrpo.start import starting_weights

__all__ = ["main", "train"]

PROG = "python -m scgrpo.train"
EXAMPLES = (
    "env=swe_lite",
    "env=swe_lite algo=grpo seed=1 name=baseline",
    "env=toy_guess model=FOLDER warm_start.mode=never",
    "env=my_package.my_module:me/my_env credit.control=shuffled",
    "env=swe_lite resume=true",
)

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 for what broke, 2 for bad settings, 130 for Ctrl-C."""
    config = settings.parse(
        TrainConfig, sys.argv[1:] if argv is None else argv, prog=PROG, examples=EXAMPLES
    )
    to_terminal()
    try:
        train(config)
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: {PROG} resume=true", file=sys.stderr)
        sys.exit(130)
    except (ValueError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except (SandboxError, DiskError, CheckpointError, TrainingError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(1)


def train(config: TrainConfig) -> Path:
    """Runs a whole training and returns its run folder."""
    with Rollouts(config.env, config.limits, sandbox=config.sandbox) as play:
        if unknown := sorted(set(config.levels) - set(play.env.levels)):
            raise ValueError(f"levels {unknown} are not among {config.env}'s: {play.env.levels}")
        models.resolve(config.model)
        run, config = _open_run(config)
        logger.info("run: %s", run)
        with Learner(run, config, play, starting_weights(run, config, play)) as learner:
            learner.learn()
    return run


def _open_run(config: TrainConfig) -> tuple[Path, TrainConfig]:
    """The run's folder and settings: a new one, or the one to go on with."""
    if not config.resume:
        run = runs.new_run(config.runs, config.name)
        settings.save(config, run / runs.CONFIG)
        return run, config
    run = runs.find_run(config.runs, config.name or runs.LATEST)
    saved = settings.load(TrainConfig, run / runs.CONFIG)
    given, kept, usual = asdict(config), asdict(saved), asdict(TrainConfig())
    changed = [
        f"{key}: the run has {kept[key]}, got {given[key]}"
        for key in given
        if key not in ("resume", "name", "runs", "steps")
        and given[key] not in (kept[key], usual[key])
    ]
    if changed:
        raise ValueError(f"{run} goes on with its own settings; {'; '.join(changed)}")
    steps = config.steps if config.steps != TrainConfig().steps else saved.steps
    return run, replace(saved, steps=steps, resume=True)


if __name__ == "__main__":
    main()
