"""Measures the policies that training starts from, suite by suite."""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from envs.base import TextEnv
from envs.types import Episode, Task
from evals.evaluation.models import EvaluatedModel
from evals.evaluation.provenance import rollout_digest
from evals.evaluation.suites import Suite, select_tasks
from evals.report.baselines import BASE, ORACLE, RANDOM, SANDBOX_SHARE, WARM
from evals.report.scores import outcome_table
from evals.report.tables import finite
from evals.statistics import success_rate
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.load import load_model
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.hf import HFPolicy
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.preflight.positions import check_positions
from scgrpo.rollouts import Rollouts
from scgrpo.warm_start.starting_weights import warm_started

__all__ = ["baseline_rows"]

SEED = 0


def baseline_rows(
    name: str, arguments: argparse.Namespace, done: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The rows of an environment that `done` does not hold yet. JSON-able.

    A row counts as done if its digest is that of the code, the policy and the numbers of episodes
    now; rows of earlier releases have none.
    """
    measured = set()
    for row in done:
        suite = Suite(row["env"], row["level"], row["split"])
        measured.add((suite, row["policy"], row.get("digest")))

    # Of the format alone: what a model reads of references is `scgrpo gap`'s to measure.
    config = TrainConfig(env=name, warm_start=WarmStartConfig(references="never"))
    if not arguments.no_model:
        folder = resolve_model(arguments.model)
        check_positions(folder, config.limits, name=arguments.model)
    with Rollouts(name, config.limits, sandbox=config.sandbox) as play:
        code = rollout_digest(play.env)
        for suite, policy, count in _scripts(name, play.env, arguments):
            digest = _digest(code, count)
            if (suite, policy, digest) not in measured:
                yield _script_row(play, suite, policy, count) | {"digest": digest}

        # Scripts first: they take seconds, and models take minutes.
        for suite, policy, digest in _models(name, play.env, arguments, code):
            if (suite, policy, digest) not in measured:
                row = _model_row(play, suite, policy, config, arguments)
                yield row | {"digest": digest}


def _scripts(
    name: str, env: TextEnv, arguments: argparse.Namespace
) -> Iterator[tuple[Suite, str, int]]:
    """Suite, policy and number of episodes of the policies without a model."""
    counts = {RANDOM: arguments.random, ORACLE: arguments.oracle}
    in_sandbox = "sandboxes" in inspect.signature(type(env)).parameters
    share = SANDBOX_SHARE if in_sandbox else 1
    for level in env.levels:
        for split in env.splits:
            suite = Suite(name, level, split)
            tasks = env.tasks(split, level)
            for policy, count in counts.items():
                if tasks and count:
                    yield suite, policy, count // share


def _models(
    name: str, env: TextEnv, arguments: argparse.Namespace, code: str
) -> Iterator[tuple[Suite, str, str]]:
    """Suite, policy and digest of the policies with a model."""
    if arguments.no_model:
        return
    folder = resolve_model(arguments.model)
    weights = EvaluatedModel(BASE, arguments.model, folder).digest()
    digest = _digest(code, weights, arguments.tasks, arguments.rollouts)
    for level in env.levels:
        if level in arguments.levels:
            suite = Suite(name, level, "id")
            yield suite, BASE, digest
            yield suite, WARM, digest


def _digest(*inputs: str | int) -> str:
    """A short digest of all that a row depends on besides its suite and policy."""
    text = json.dumps(inputs)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _script_row(
    play: Rollouts, suite: Suite, policy: str, count: int
) -> dict[str, Any]:
    started = time.monotonic()
    tasks = play.env.tasks(suite.split, suite.level)
    tasks = select_tasks(suite, tasks, max(1, count), SEED)
    # Rounded up: a few episodes more, never fewer.
    group = -(-count // len(tasks))
    if policy == RANDOM:
        episodes = play(None, tasks, group=group, seed=SEED)
    else:
        episodes = [_oracle_episode(play, task) for task in tasks]
    return _row(suite, policy, episodes, started)


def _oracle_episode(play: Rollouts, task: Task) -> Episode:
    script = ScriptedPolicy(play.env.oracle(task))
    (episode,) = play(script, [task], group=1, seed=SEED)
    return episode


def _model_row(
    play: Rollouts,
    suite: Suite,
    policy: str,
    config: TrainConfig,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    # The seconds of a row hold its warm start.
    started = time.monotonic()
    folder = resolve_model(arguments.model)
    if policy == WARM:
        folder = warm_started(folder, config, play, suite.level)
    model, tokenizer = load_model(folder, dtype=dtype_of(config))

    tasks = play.env.tasks(suite.split, suite.level)
    tasks = select_tasks(suite, tasks, arguments.tasks, SEED)
    with HFPolicy(
        model.to(device_of(config)),
        tokenizer,
        cache_tokens=config.limits.episode_tokens,
        chat_options=config.chat,
    ) as acting:
        episodes = play(
            acting,
            tasks,
            group=arguments.rollouts,
            seed=SEED,
            description=f"{suite} {policy}",
        )
    return _row(suite, policy, episodes, started)


def _row(
    suite: Suite, policy: str, episodes: Sequence[Episode], started: float
) -> dict[str, Any]:
    groups: dict[str, list[Episode]] = {}
    families: dict[str, str] = {}
    for episode in episodes:
        task = episode.task
        groups.setdefault(task.id, []).append(episode)
        families[task.id] = task.family

    # Random play rounds up, so tasks may have different numbers of episodes.
    longest = max(map(len, groups.values()))
    table = outcome_table(list(groups.values()), longest)
    success = success_rate(table, list(families.values()))

    turns = sum(len(episode.turns) for episode in episodes)
    malformed = sum(episode.malformed for episode in episodes)
    errors = sum(episode.errored for episode in episodes)
    too_long = sum(episode.prompt_too_long for episode in episodes)
    return {
        **asdict(suite),
        "policy": policy,
        **finite(asdict(success)),
        "errors": errors,
        "prompts_too_long": too_long,
        "malformed": malformed / max(1, turns),
        "seconds": round(time.monotonic() - started, 1),
    }
