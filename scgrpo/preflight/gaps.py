"""What a run logs about the measured gap of its starting weights; see `scgrpo.runs.gaps`.

Nothing is played here: `scgrpo gap` measures, a run looks for its result in the folder of runs.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from envs import registry
from envs.base import TextEnv
from envs.identity import identity
from scgrpo.config import TrainConfig
from scgrpo.models.sources.digest import weights_digest
from scgrpo.models.sources.folders import is_model, resolve_model
from scgrpo.preflight.run import shown_reference
from scgrpo.runs.folders import CONFIG, all_runs
from scgrpo.runs.gaps import SavedGap, find_gap, saved_gaps
from scgrpo.settings import parse as settings
from scgrpo.training.run_start import WARM_START

__all__ = ["gap_of", "log_gap", "planned_gap"]

SAME_START = ("model", "env", "levels", "chat", "warm_start", "seed", "dtype")
"""Settings that decide a run's starting weights."""

logger = logging.getLogger(__name__)


def log_gap(config: TrainConfig, start: Path, env: TextEnv) -> None:
    """Logs the gap of the weights `start` or how to measure it; warns if it is not above 0.

    Says nothing if the algorithm shows no reference.
    """
    if shown_reference(config) is None:
        return
    gap = gap_of(config, [start], env)
    if gap is None:
        logger.info("gap: %s", _how_to_measure(config, str(start), env))
    elif gap.is_shown:
        logger.info("gap: %s", gap)
    else:
        logger.warning(
            "gap: %s, whose interval is not above 0: the starting weights solve no more with a "
            "verified reference in front of them, so what references say of tokens is likely "
            "noise. Teach the model to read them first, or use algo=grpo",
            gap,
        )


def planned_gap(config: TrainConfig) -> str | None:
    """The gap of a planned run, in words, or how to measure it; None if no reference is shown.

    The weights are those of `model`, or of the warm start of an earlier run that starts alike.
    """
    if shown_reference(config) is None:
        return None
    env = registry.make(config.env).unwrapped
    # What is no environment of ours is refused by the rollouts, with what was expected.
    if not isinstance(env, TextEnv):
        return None
    with closing(env):
        gap = gap_of(config, list(_planned_starts(config)), env)
        if gap is None:
            return _how_to_measure(config, config.model, env)
    verdict = (
        "" if gap.is_shown else "; not above 0: the model does not read its references"
    )
    return f"{gap}{verdict}"


def gap_of(config: TrainConfig, starts: list[Path], env: TextEnv) -> SavedGap | None:
    """The newest saved gap of one of the folders of weights at the run's first level."""
    # Hashing a model takes seconds, so only if there is something to compare it with.
    if not any(saved_gaps(config.runs)):
        return None
    weights = {weights_digest(start) for start in starts}
    return find_gap(config.runs, identity(env), _first_level(config, env), weights)


def _planned_starts(config: TrainConfig) -> Iterator[Path]:
    yield resolve_model(config.model)
    for run in all_runs(config.runs):
        try:
            saved = settings.load(TrainConfig, run / CONFIG)
        except ValueError:
            continue
        alike = all(getattr(saved, n) == getattr(config, n) for n in SAME_START)
        if alike and is_model(run / WARM_START):
            yield run / WARM_START


def _how_to_measure(config: TrainConfig, model: str, env: TextEnv) -> str:
    level = _first_level(config, env)
    command = (
        f"scgrpo gap --model {shlex.quote(model)} --envs {config.env} --levels {level}"
    )
    if config.runs != TrainConfig.runs:
        command += f" --out {shlex.quote(str(config.runs / 'evals'))}"
    return f"not measured: does the model read references? {command}"


def _first_level(config: TrainConfig, env: TextEnv) -> int:
    return min(config.levels or env.levels)
