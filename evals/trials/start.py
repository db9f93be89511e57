"""The weights that all methods of a trial start from."""

from __future__ import annotations

from pathlib import Path

from evals.trials.plan import Cell, TrialPlan
from evals.trials.small_model import small_model
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.models.sources.folders import resolve_model
from scgrpo.rollouts import Rollouts
from scgrpo.warm_start.starting_weights import warm_started

__all__ = ["starting_model"]


def starting_model(path: Path, plan: TrialPlan, cell: Cell) -> Path:
    """The folder that the cell's runs start from: made once. `path` is the plan's file.

    The small model is taught all of the plan's cells at once, and lies next to the plan; another
    model gets a warm start in each, that teaches to read references whatever the method, with seed
    0, in the cache.
    """
    cells = [Cell.of(name) for name in plan.cells]
    if plan.model == "small":
        return small_model(plan.small, cells, path.with_suffix(".model"))
    config = TrainConfig(
        env=cell.env,
        model=plan.model,
        levels=(cell.level,),
        warm_start=WarmStartConfig(references="always"),
    )
    with Rollouts(cell.env, config.limits, sandbox=config.sandbox) as rollouts:
        return warm_started(resolve_model(plan.model), config, rollouts, cell.level)
