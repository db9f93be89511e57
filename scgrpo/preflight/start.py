"""What is refused at once, before torch is imported: a name that stands for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from envs import registry
from envs.base import TextEnv
from scgrpo.agents.config import check_agent
from scgrpo.config import TrainConfig
from scgrpo.models.sources.folders import local_model
from scgrpo.preflight.workers import check_workers
from scgrpo.runs.folders import LATEST, find_run

__all__ = ["check_start", "check_trainable"]


def check_start(config: TrainConfig) -> None:
    """Raises ValueError for a run, model, environment or level that does not exist, or without Ray.

    Names of models on a hub are not checked here, and errors of Gymnasium pass through.
    """
    check_workers(config.rollout_workers)
    # A run that goes on has its own settings.
    if config.resume:
        find_run(config.runs, config.name or LATEST)
        return
    for model in filter(None, (config.model, config.teacher)):
        local_model(model)
    env = registry.make(config.env).unwrapped
    # What is no environment of ours is refused by the rollouts, with what was expected.
    if isinstance(env, TextEnv):
        with closing(env):
            check_trainable(env, config.levels, config.env)
            check_agent(config.agent, env, config.env)


def check_trainable(env: TextEnv, levels: Sequence[int], name: str) -> None:
    """Raises ValueError unless the environment called `name` can be trained on at the levels."""
    if "train" not in env.splits:
        raise ValueError(
            f"{name} has no split train: nothing trains on its {', '.join(env.splits)}; train on "
            f"another environment, and evaluate with: scgrpo eval --envs {name}"
        )
    unknown = sorted(set(levels) - set(env.levels))
    if unknown:
        raise ValueError(f"levels {unknown} are not among {name}'s: {env.levels}")
