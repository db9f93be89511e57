"""Plays the missing episodes of an evaluation, within its budget."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack

from envs.rollout import Policy
from evals.evaluation.budget import Budget, BudgetSpent
from evals.evaluation.episodes import evaluate
from evals.evaluation.models import EvaluatedModel
from evals.evaluation.plan import Evaluation, announce
from evals.evaluation.policies import open_policy
from evals.evaluation.suites import Suite
from sandboxes.commands import CommandError
from scgrpo.policies.server import ServerPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs.lock import only_writer

__all__ = ["EvaluationError", "check_complete", "play_missing"]


class EvaluationError(CommandError):
    """The evaluation has no result; the message says why and what to do."""


def play_missing(
    evaluation: Evaluation, arguments: argparse.Namespace
) -> tuple[str, Budget]:
    """Announces and plays what is not on disk, one model in memory at a time.

    Returns the words for what stopped it early, empty if nothing did, and the budget. Raises
    ValueError if another process evaluates into the same folder.
    """
    advice = "wait for it, or choose another folder by --out"
    with only_writer(evaluation.folder, advice):
        return _play_missing(evaluation, arguments)


def _play_missing(
    evaluation: Evaluation, arguments: argparse.Namespace
) -> tuple[str, Budget]:
    missing = {model.label: evaluation.missing(model) for model in evaluation.models}
    announce(evaluation, missing, arguments.concurrency)
    budget = Budget(
        arguments.max_tokens,
        arguments.max_minutes,
        planned=sum(sum(counts.values()) for counts in missing.values()),
        threads=arguments.concurrency,
    )

    stopped = ""
    with ExitStack() as stack:
        rollouts: dict[str, Rollouts] = {}
        for model in evaluation.models:
            suites = missing[model.label]
            if not suites or stopped:
                continue
            _open_rollouts(evaluation, suites, rollouts, stack, arguments)
            try:
                stopped = _play_model(
                    evaluation, model, suites, rollouts, budget, arguments.concurrency
                )
            except BudgetSpent as spent:
                stopped = str(spent)
    return stopped, budget


def check_complete(stopped: str, budget: Budget, rest: str) -> None:
    """Raises BudgetSpent or EvaluationError if something stopped the evaluation early.

    `rest` says what became of the episodes.
    """
    if stopped:
        words = f"stopped: {stopped}; {rest}: the same command goes on"
        raise BudgetSpent(words) if budget.spent else EvaluationError(words)


def _open_rollouts(
    evaluation: Evaluation,
    suites: Mapping[Suite, int],
    rollouts: dict[str, Rollouts],
    stack: ExitStack,
    arguments: argparse.Namespace,
) -> None:
    """Adds the environments that are not open yet; the models share them."""
    evaluated = evaluation.evaluated
    for suite in suites:
        if suite.env not in rollouts:
            play = Rollouts(
                suite.env,
                evaluated.limits,
                sandbox=evaluated.sandbox,
                threads=arguments.concurrency,
                agent=evaluated.config.agent,
                workers=arguments.workers,
            )
            rollouts[suite.env] = stack.enter_context(play)


def _play_model(
    evaluation: Evaluation,
    model: EvaluatedModel,
    suites: Mapping[Suite, int],
    rollouts: Mapping[str, Rollouts],
    budget: Budget,
    threads: int,
) -> str:
    """What stopped the model's server, in words; empty if it played all. Raises BudgetSpent."""
    config = evaluation.evaluated.config
    with open_policy(
        model, config, greedy=evaluation.greedy, concurrency=threads
    ) as policy:
        for suite in suites:
            play = rollouts[suite.env]
            _play_suite(evaluation, policy, play, suite, model, budget)
        # Episodes that a dead server broke are errored; the report must not look complete.
        return policy.failure if isinstance(policy, ServerPolicy) else ""


def _play_suite(
    evaluation: Evaluation,
    policy: Policy,
    play: Rollouts,
    suite: Suite,
    model: EvaluatedModel,
    budget: Budget,
) -> None:
    evaluate(
        policy,
        play,
        suite,
        evaluation.tasks[suite],
        rollouts=evaluation.rollouts,
        seed=evaluation.seed,
        path=evaluation.path(suite, model),
        description=f"{model.label}, {suite}",
        budget=budget,
    )
