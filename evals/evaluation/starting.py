"""Whether a run's base model needs to be evaluated: not if the run measured that it solves nothing.

A model that solves nothing writes every turn to its limit, so it would take most of the time.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from envs.base import TextEnv
from envs.identity import Identity, identity
from envs.store import read_episodes
from envs.types import Episode
from evals.evaluation.models import BASE, WARM
from evals.evaluation.plan import Evaluation, plan
from evals.evaluation.suites import Suite
from evals.report.left_out import UnsolvedBase
from evals.report.scores import outcome_table
from evals.statistics import success_rate
from scgrpo.runs.folders import STARTING_EPISODES

__all__ = ["plan_without_unsolved_base"]

logger = logging.getLogger(__name__)


def plan_without_unsolved_base(
    arguments: argparse.Namespace,
) -> tuple[Evaluation, Mapping[str, TextEnv], UnsolvedBase | None]:
    """The evaluation, less its base model if the run measured that it solves nothing.

    The last value is what was measured then, which is logged, else None. The measurement must be of
    the code of the one environment that is played, of the level of every suite, and sampled
    likewise. A base that the user names is evaluated, and so is one without a warm-started model
    after it: the trained model is compared with what training began with. Raises what `plan` does.
    """
    planned, envs = plan(arguments)
    evaluation, unsolved = _without_unsolved_base(planned, envs, arguments)
    if unsolved is not None:
        logger.info("%s", unsolved)
    return evaluation, envs, unsolved


def _without_unsolved_base(
    evaluation: Evaluation, envs: Mapping[str, TextEnv], arguments: argparse.Namespace
) -> tuple[Evaluation, UnsolvedBase | None]:
    if arguments.base or arguments.chat or evaluation.greedy:
        return evaluation, None
    run = evaluation.evaluated.run
    labels = [model.label for model in evaluation.models]
    if run is None or labels[:2] != [BASE, WARM]:
        return evaluation, None
    unsolved = _unsolved_base(run, evaluation, envs)
    if unsolved is None:
        return evaluation, None

    models = replace(evaluation.evaluated, models=evaluation.models[1:])
    digests = {model.label: evaluation.digests[model.label] for model in models.models}
    return replace(evaluation, evaluated=models, digests=digests), unsolved


def _unsolved_base(
    run: Path, evaluation: Evaluation, envs: Mapping[str, TextEnv]
) -> UnsolvedBase | None:
    """What the run measured of its base model, if that is 0 and holds for every suite."""
    path = run / STARTING_EPISODES
    if not path.is_file():
        return None
    episodes = [episode for episode in read_episodes(path) if episode.verdict]
    if not episodes or any(episode.verified for episode in episodes):
        return None
    first = episodes[0]
    if not _covers(first, evaluation.tasks, envs):
        return None

    groups: dict[str, list[Episode]] = {}
    families: dict[str, str] = {}
    for episode in episodes:
        groups.setdefault(episode.task.id, []).append(episode)
        families[episode.task.id] = episode.task.family
    longest = max(map(len, groups.values()))
    table = outcome_table(list(groups.values()), longest)
    success = success_rate(table, list(families.values()))
    config = evaluation.evaluated.config
    return UnsolvedBase(config.model, config.env, first.task.level, success)


def _covers(
    measured: Episode, suites: Iterable[Suite], envs: Mapping[str, TextEnv]
) -> bool:
    """Whether all suites are of the environment, its code and the level that were measured."""
    played = Identity(measured.env, measured.source)
    return all(
        suite.level == measured.task.level and identity(envs[suite.env]) == played
        for suite in suites
    )
