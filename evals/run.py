"""`python -m evals.run`: how well a model does on held-out tasks, beside what it was trained from.

The story of an evaluation: find the models, choose the tasks, play the episodes that are not on
disk yet, count, and write the report.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import gymnasium

from envs.base import TextEnv
from envs.rollout import Policy
from evals.evaluation.arguments import FULL, PROG, QUICK, parser, served
from evals.evaluation.budget import Budget, BudgetSpent
from evals.evaluation.episodes import evaluate
from evals.evaluation.models import (
    RUNS,
    EvaluatedModel,
    EvaluatedModels,
    find_models,
    open_policy,
)
from evals.evaluation.plan import Evaluation, announce
from evals.evaluation.provenance import code_digest, facts
from evals.evaluation.suites import ALL, Cell, cells, choose, open_envs
from evals.report.report import Report, show, write
from evals.report.scores import Row, compare
from sandboxes import SandboxError
from sandboxes.commands import CommandError
from scgrpo.policies.server import ServerPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import DiskError
from scgrpo.runs.log import to_terminal

__all__ = ["Evaluation", "EvaluationError", "main", "plan", "play_missing", "run"]

# As a command this module is called __main__, which nobody listens to.
logger = logging.getLogger("evals.run")


class EvaluationError(CommandError):
    """The evaluation has no result; the message says why and what to do."""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 2 for bad arguments, 130 for Ctrl-C.

    With 1 for what broke and 3 for a spent budget, where finished episodes are kept.
    """
    arguments = parser().parse_args(argv)
    to_terminal()
    try:
        run(arguments, sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        print(
            "\nstopped; finished episodes are kept: the same command goes on",
            file=sys.stderr,
        )
        sys.exit(130)
    except (ValueError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except BudgetSpent as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(3)
    except (SandboxError, DiskError, EvaluationError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(1)


def run(arguments: argparse.Namespace, argv: Sequence[str]) -> Report:
    """Plays, prints and writes one evaluation.

    Raises after the report: BudgetSpent, and EvaluationError where a server went away or a model
    has no verdict at all on a cell.
    """
    subjects = find_models(
        arguments.model, arguments.base, arguments.run, server=served(arguments)
    )
    names = arguments.envs or ([subjects.config.env] if subjects.run else [ALL])
    envs = open_envs(names)
    evaluation = plan(arguments, subjects, envs)
    about = facts(evaluation.subjects, evaluation.digests, argv)
    waiting = {s.label: evaluation.lacking(s) for s in subjects.models}
    announce(evaluation, waiting, arguments.concurrency)
    budget = Budget(
        arguments.max_tokens,
        arguments.max_minutes,
        planned=sum(sum(counts.values()) for counts in waiting.values()),
        threads=arguments.concurrency,
    )
    stopped = play_missing(evaluation, waiting, budget, arguments.concurrency)
    rows = [
        compare(
            cell,
            tasks,
            {s.label: evaluation.kept(cell, s) for s in subjects.models},
            evaluation.rollouts,
            {
                s.label: evaluation.kept(cell, s, first_try=True)
                for s in subjects.models
            },
        )
        for cell, tasks in evaluation.tasks.items()
    ]
    report = Report(
        rows,
        {
            "sampling": _sampling(evaluation),
            "stopped": stopped,
            "missing": _missing(rows),
            "seed": evaluation.seed,
            "concurrency": arguments.concurrency,
            "code": evaluation.code,
            **about,
        },
    )
    show(report)
    paths = write(report, evaluation.folder, evaluation.name)
    logger.info("report: %s", " and ".join(map(str, paths)))
    _check_whole(report, budget)
    return report


def plan(
    arguments: argparse.Namespace,
    subjects: EvaluatedModels,
    envs: Mapping[str, TextEnv],
) -> Evaluation:
    """What the arguments ask for. Raises ValueError for what cannot be."""
    usual_tasks, usual_rollouts = QUICK if arguments.quick else FULL
    rollouts = arguments.rollouts or (1 if arguments.greedy else usual_rollouts)
    if arguments.greedy and rollouts > 1:
        raise ValueError(
            "--greedy says the same every time: leave --rollouts out, or give 1"
        )
    count = arguments.tasks or usual_tasks
    covered = cells(
        envs, ood=arguments.ood, levels=arguments.levels, preferred=subjects.levels
    )
    return Evaluation(
        subjects=subjects,
        tasks={
            cell: choose(
                cell,
                envs[cell.env].tasks(cell.split, cell.level),
                count,
                arguments.seed,
            )
            for cell in covered
        },
        digests={subject.label: subject.digest() for subject in subjects.models},
        code={name: code_digest(env) for name, env in envs.items()},
        rollouts=rollouts,
        seed=arguments.seed,
        greedy=arguments.greedy,
        folder=arguments.out or (subjects.run or RUNS) / "evals",
    )


def play_missing(
    evaluation: Evaluation,
    waiting: Mapping[str, Mapping[Cell, int]],
    budget: Budget,
    threads: int,
) -> str:
    """Plays what is not on disk, one model in memory at a time. Returns what stopped it early."""
    subjects = evaluation.subjects
    with ExitStack() as stack:
        rollouts: dict[str, Rollouts] = {}
        for subject in subjects.models:
            unfinished = waiting[subject.label]
            if not unfinished:
                continue
            for env in dict.fromkeys(
                cell.env for cell in unfinished if cell.env not in rollouts
            ):
                opened = Rollouts(
                    env, subjects.limits, sandbox=subjects.sandbox, threads=threads
                )
                rollouts[env] = stack.enter_context(opened)
            opened = open_policy(
                subject, subjects.config, greedy=evaluation.greedy, concurrency=threads
            )
            try:
                with opened as policy:
                    for cell in unfinished:
                        play = rollouts[cell.env]
                        _play_cell(evaluation, policy, play, cell, subject, budget)
                    if isinstance(policy, ServerPolicy) and policy.failure:
                        return policy.failure
            except BudgetSpent as spent:
                return str(spent)
    return ""


def _play_cell(
    evaluation: Evaluation,
    policy: Policy,
    play: Rollouts,
    cell: Cell,
    subject: EvaluatedModel,
    budget: Budget,
) -> None:
    evaluate(
        policy,
        play,
        cell,
        evaluation.tasks[cell],
        rollouts=evaluation.rollouts,
        seed=evaluation.seed,
        path=evaluation.path(cell, subject),
        description=f"{subject.label}, {cell}",
        budget=budget,
    )


def _sampling(evaluation: Evaluation) -> str:
    return "greedy" if evaluation.greedy else "sampled at temperature 1"


def _missing(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Model's label -> cell -> episodes without a verdict, where there are any."""
    missing: dict[str, dict[str, int]] = {}
    for row in rows:
        for label, score in row.scores.items():
            if count := row.tasks * row.rollouts - score.episodes:
                missing.setdefault(label, {})[str(row.cell)] = count
    return missing


def _check_whole(report: Report, budget: Budget) -> None:
    """Raises where numbers are missing, with what to do."""
    if stopped := report.facts["stopped"]:
        count = sum(sum(cells.values()) for cells in report.facts["missing"].values())
        words = f"stopped: {stopped}; {count} episodes are missing and the others are kept: "
        words += "the same command goes on"
        raise BudgetSpent(words) if budget.spent else EvaluationError(words)
    for row in report.rows:
        for label, score in row.scores.items():
            if not score.episodes:
                raise EvaluationError(
                    f"no episode of {label} on {row.cell} has a verdict; the first broke with: "
                    f"{score.error}. Mend that; the same command plays them again"
                )


if __name__ == "__main__":
    main()
