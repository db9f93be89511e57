"""What an evaluation covers, and which of its episodes are on disk."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from envs.base import TextEnv
from envs.identity import base_id
from envs.store import read_episodes
from envs.types import Episode, Task
from evals.evaluation.arguments import RUNS, server_of
from evals.evaluation.budget import PILOT, in_words, seconds_left
from evals.evaluation.episodes import missing_rollouts, read_saved
from evals.evaluation.models import EvaluatedModel, EvaluatedModels, find_models
from evals.evaluation.provenance import rollout_digest
from evals.evaluation.suites import (
    ALL,
    Suite,
    open_envs,
    select_suites,
    select_tasks,
)
from evals.statistics import detectable
from scgrpo.agents.config import check_agent
from scgrpo.policies.chat_options import ChatOptions
from scgrpo.preflight.workers import check_workers

__all__ = [
    "Evaluation",
    "announce",
    "expected_time",
    "plan",
    "smallest_differences",
]

# One name for all parts of the command, which `to_terminal` prints.
logger = logging.getLogger("evals.run")


@dataclass(frozen=True)
class Evaluation:
    """The models, tasks and settings of an evaluation, and the folder of its files.

    | field | meaning |
    |---|---|
    | evaluated | the models, with the settings of their run |
    | tasks | suite -> its selected tasks |
    | digests | model's label -> hash of its files |
    | code | environment -> hash of the code that plays it |
    | rollouts | episodes of each task |
    | folder | reports go here, episodes into `episodes/` below |
    """

    evaluated: EvaluatedModels
    tasks: Mapping[Suite, Sequence[Task]]
    digests: Mapping[str, str]
    code: Mapping[str, str]
    rollouts: int
    seed: int
    greedy: bool
    folder: Path

    @property
    def models(self) -> tuple[EvaluatedModel, ...]:
        """The models, from the least to the most trained."""
        return self.evaluated.models

    @property
    def sampling(self) -> str:
        """How tokens are chosen, in words."""
        return "greedy" if self.greedy else "sampled at temperature 1"

    @property
    def name(self) -> str:
        """Name of the report; equal for equal evaluations."""
        last = self.models[-1].folder.name
        counts = {str(suite): len(tasks) for suite, tasks in self.tasks.items()}
        digest = self._hash(self.digests, self.code, counts, self.rollouts)
        return f"{last}-{digest}"

    def path(self, suite: Suite, model: EvaluatedModel) -> Path:
        """The file of a suite's episodes; another file if anything that shapes them differs."""
        weights, code = self.digests[model.label], self.code[suite.env]
        digest = self._hash(weights, code, str(suite), self.rollouts)
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{model.label} {suite}")
        return self.folder / "episodes" / f"{name}-{digest}.jsonl"

    def episodes(
        self, suite: Suite, model: EvaluatedModel, *, first_try: bool = False
    ) -> list[list[Episode]]:
        """The saved episodes of a suite's tasks; see `evals.evaluation.episodes`."""
        return read_saved(
            self.path(suite, model),
            suite,
            self.tasks[suite],
            rollouts=self.rollouts,
            seed=self.seed,
            first_try=first_try,
        )

    def missing(self, model: EvaluatedModel) -> dict[Suite, int]:
        """The suites that a model has not finished -> episodes to play."""
        counts = {}
        for suite, tasks in self.tasks.items():
            saved = self.episodes(suite, model)
            rollouts = missing_rollouts(
                saved, suite, tasks, rollouts=self.rollouts, seed=self.seed
            )
            if rollouts:
                counts[suite] = len(rollouts)
        return counts

    def _hash(self, *about: Any) -> str:
        parts = [*about, self.seed, self.greedy, asdict(self.evaluated.limits)]
        chat = self.evaluated.config.chat
        # Left out if they are the defaults, for files from before there were options.
        if chat != ChatOptions():
            parts.append(asdict(chat))
        agent = self.evaluated.config.agent
        if agent.command:
            # How many play at once changes no episode.
            parts.append(asdict(replace(agent, parallel=1)))
        text = json.dumps(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def plan(
    arguments: argparse.Namespace,
) -> tuple[Evaluation, Mapping[str, TextEnv]]:
    """The evaluation that the arguments ask for, and its environments.

    Without torch, so that what is wrong with the arguments shows at once. Raises ValueError, and
    Gymnasium's own errors for an unknown environment.
    """
    rollouts = _rollouts(arguments)
    check_workers(arguments.workers)
    server = server_of(arguments)
    # Before the models, of which one may have to be fetched first.
    envs = open_envs(arguments.envs)
    evaluated = find_models(
        arguments.model, arguments.base, arguments.run, server=server
    ).with_chat(arguments.chat)
    evaluated = evaluated.with_limits(arguments).with_agent(arguments)
    envs = envs or open_envs([evaluated.config.env if evaluated.run else ALL])

    for name, env in envs.items():
        check_agent(evaluated.config.agent, env, name)
    # Before the digests, which read whole models: bad levels are refused at once.
    suites = select_suites(
        envs, ood=arguments.ood, levels=arguments.levels, preferred=evaluated.levels
    )
    default_tasks, _ = _default_size(arguments)
    selected = {
        suite: select_tasks(
            suite,
            envs[suite.env].tasks(suite.split, suite.level),
            arguments.tasks or default_tasks,
            arguments.seed,
        )
        for suite in suites
    }
    evaluation = Evaluation(
        evaluated=evaluated,
        tasks=selected,
        digests={model.label: model.digest() for model in evaluated.models},
        code={name: rollout_digest(env) for name, env in envs.items()},
        rollouts=rollouts,
        seed=arguments.seed,
        greedy=arguments.greedy,
        folder=arguments.out or (evaluated.run or RUNS) / "evals",
    )
    return evaluation, envs


def _rollouts(arguments: argparse.Namespace) -> int:
    """Episodes of each task. Raises ValueError for several greedy ones."""
    _, rollouts = _default_size(arguments)
    if not arguments.greedy:
        return arguments.rollouts or rollouts
    if arguments.rollouts and arguments.rollouts > 1:
        raise ValueError(
            f"got --greedy and --rollouts {arguments.rollouts}, expected 1 rollout: greedy "
            "episodes of a task are equal"
        )
    return 1


def _default_size(arguments: argparse.Namespace) -> tuple[int, int]:
    """Tasks of each suite, and episodes of each task, unless the user names others."""
    return arguments.sizes["quick" if arguments.quick else "full"]


def announce(
    evaluation: Evaluation, missing: Mapping[str, Mapping[Suite, int]], threads: int
) -> None:
    """Logs what will be played, the difference that it can show and the time it will take."""
    tasks = sum(map(len, evaluation.tasks.values()))
    total = tasks * evaluation.rollouts * len(evaluation.models)
    left = sum(sum(counts.values()) for counts in missing.values())

    models = [f"{model.label} {model.name}" for model in evaluation.models]
    suites = [str(suite) for suite in evaluation.tasks]
    logger.info("models: %s", ", ".join(models))
    logger.info("suites: %s", ", ".join(suites))
    logger.info("episodes: %d to play, %d on disk", left, total - left)
    logger.info("smallest difference that shows: %s", smallest_differences(evaluation))
    if left:
        counts = Counter[str]()
        for of_model in missing.values():
            for suite, count in of_model.items():
                counts[suite.env] += count
        logger.info("time: %s", expected_time(evaluation, counts, threads))


def smallest_differences(evaluation: Evaluation) -> str:
    """In points, by suite, the difference that a paired test shows four times in five."""
    suites: dict[str, list[str]] = {}
    for suite, tasks in evaluation.tasks.items():
        families = [task.family for task in tasks]
        smallest = detectable(families, evaluation.rollouts)
        if math.isnan(smallest):
            words = "none: it needs two tasks"
        else:
            words = f"{100 * smallest:.1f} points"
        words += f" ({len(tasks)} tasks x {evaluation.rollouts})"
        suites.setdefault(words, []).append(str(suite))

    # Suites of equal size are the usual case.
    if len(suites) == 1:
        return f"{next(iter(suites))} on every suite"
    parts = []
    for words, names in suites.items():
        listed = ", ".join(names)
        parts.append(f"{words} on {listed}")
    return "; ".join(parts)


def expected_time(evaluation: Evaluation, left: Mapping[str, int], threads: int) -> str:
    """An estimate from earlier episodes of the same environments in this folder or the run's.

    `left` is environment -> episodes to play.
    """
    # Environments differ in their seconds, so each has an estimate of its own.
    seconds, unknown = 0.0, []
    for name, count in left.items():
        walls = _past_walls(evaluation, name)
        if walls:
            seconds += seconds_left(count, walls, threads)
        else:
            unknown.append(name)

    if unknown:
        names = ", ".join(unknown)
        return f"not known before the first {PILOT} episodes: none of {names} is here"
    return f"about {in_words(seconds)}, if all models take as long as the episodes before did"


def _past_walls(evaluation: Evaluation, env: str) -> list[float]:
    """Seconds of some episodes of an environment, the newest file's first."""
    run = evaluation.evaluated.run
    folders = [evaluation.folder / "episodes"]
    if run is not None:
        folders.append(run / "episodes")
    for folder in folders:
        files = list(folder.glob("*.jsonl"))
        files.sort(key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for file in files:
            walls = _walls(islice(read_episodes(file), 2 * PILOT), env)
            if walls:
                return walls
    return []


def _walls(episodes: Iterable[Episode], env: str) -> list[float]:
    """Seconds of the episodes with a verdict, if they are of this environment in any version."""
    name = env.rpartition(":")[2].rpartition("/")[2]
    walls = []
    for episode in episodes:
        short = base_id(episode.env).rpartition("/")[2]
        if episode.verdict is not None and short == name:
            walls.append(episode.wall_s)
    return walls
