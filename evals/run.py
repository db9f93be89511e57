"""`python -m evals.run`: how well a model does on held-out tasks, beside what it was trained from.

The story of an evaluation: find the models, choose the tasks, play the episodes that are not on
disk yet, count, and write the report.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium

from envs.base import TextEnv
from envs.rollout import Policy
from envs.types import Episode, Task
from evals.arguments import FULL, PROG, QUICK, parser
from evals.episodes import evaluate, kept, lacking
from evals.facts import code_digest, facts
from evals.report import Report, show, write
from evals.subjects import RUNS, Subject, Subjects, find_subjects, open_policy
from evals.suites import ALL, Cell, cells, choose, open_envs
from evals.table import compare
from sandboxes import SandboxError
from scgrpo.disk import DiskError
from scgrpo.log import to_terminal
from scgrpo.rollouts import Rollouts

__all__ = ["Evaluation", "EvaluationError", "main", "run"]

# As a command this module is called __main__, which nobody listens to.
logger = logging.getLogger("evals.run")


class EvaluationError(RuntimeError):
    """The evaluation has no result; the message says why and what to do."""


@dataclass(frozen=True)
class Evaluation:
    """What is played, of which tasks, and where it is kept.

    | field | meaning |
    |---|---|
    | tasks | cell -> its chosen tasks |
    | digests | model's label -> hash of its files |
    | code | environment -> hash of the code that plays it |
    | rollouts | episodes of each task |
    | folder | reports go here, episodes into `episodes/` below |
    """

    subjects: Subjects
    tasks: Mapping[Cell, Sequence[Task]]
    digests: Mapping[str, str]
    code: Mapping[str, str]
    rollouts: int
    seed: int
    greedy: bool
    folder: Path

    def path(self, cell: Cell, subject: Subject) -> Path:
        """The file of a cell's episodes: another one for whatever would change them."""
        about = [self.digests[subject.label], self.code[cell.env], str(cell), self.rollouts]
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{subject.label} {cell}")
        return self.folder / "episodes" / f"{name}-{self._hash(*about)}.jsonl"

    @property
    def name(self) -> str:
        """Of the report: the same for the same evaluation."""
        last = self.subjects.models[-1].folder.name
        counts = {str(cell): len(tasks) for cell, tasks in self.tasks.items()}
        return f"{last}-{self._hash(self.digests, self.code, counts, self.rollouts)}"

    def kept(self, cell: Cell, subject: Subject) -> list[list[Episode]]:
        """The episodes of a cell's tasks that are on disk."""
        return kept(self.path(cell, subject), self.tasks[cell], self.rollouts)

    def lacking(self, subject: Subject) -> dict[Cell, int]:
        """The cells that a model has not finished -> episodes to play."""
        counts = {
            cell: len(lacking(self.kept(cell, subject), tasks, self.rollouts))
            for cell, tasks in self.tasks.items()
        }
        return {cell: count for cell, count in counts.items() if count}

    def _hash(self, *about: Any) -> str:
        text = json.dumps([*about, self.seed, self.greedy, asdict(self.subjects.limits)])
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 for what broke, 2 for bad arguments, 130 for Ctrl-C."""
    arguments = parser().parse_args(argv)
    to_terminal()
    try:
        run(arguments, sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        print("\nstopped; finished episodes are kept: the same command goes on", file=sys.stderr)
        sys.exit(130)
    except (ValueError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except (SandboxError, DiskError, EvaluationError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(1)


def run(arguments: argparse.Namespace, argv: Sequence[str]) -> Report:
    """Plays, prints and writes one evaluation.

    Raises EvaluationError, after the report, where a model has no verdict at all on a cell.
    """
    subjects = find_subjects(arguments.model, arguments.base, arguments.run)
    names = arguments.envs or ([subjects.config.env] if subjects.run else [ALL])
    envs = open_envs(names)
    evaluation = _plan(arguments, subjects, envs)
    about = facts(evaluation.subjects, evaluation.digests, argv)
    waiting = {s.label: evaluation.lacking(s) for s in subjects.models}
    _announce(evaluation, waiting)
    _play(evaluation, waiting)
    report = Report(
        [
            compare(
                cell,
                tasks,
                {s.label: evaluation.kept(cell, s) for s in subjects.models},
                evaluation.rollouts,
            )
            for cell, tasks in evaluation.tasks.items()
        ],
        {
            "sampling": _sampling(evaluation),
            "seed": evaluation.seed,
            "code": evaluation.code,
            **about,
        },
    )
    show(report)
    paths = write(report, evaluation.folder, evaluation.name)
    logger.info("report: %s", " and ".join(map(str, paths)))
    _check_verdicts(report)
    return report


def _plan(
    arguments: argparse.Namespace, subjects: Subjects, envs: Mapping[str, TextEnv]
) -> Evaluation:
    usual_tasks, usual_rollouts = QUICK if arguments.quick else FULL
    rollouts = arguments.rollouts or (1 if arguments.greedy else usual_rollouts)
    if arguments.greedy and rollouts > 1:
        raise ValueError("--greedy says the same every time: leave --rollouts out, or give 1")
    count = arguments.tasks or usual_tasks
    covered = cells(envs, ood=arguments.ood, levels=arguments.levels, preferred=subjects.levels)
    return Evaluation(
        subjects=subjects,
        tasks={
            cell: choose(cell, envs[cell.env].tasks(cell.split, cell.level), count, arguments.seed)
            for cell in covered
        },
        digests={subject.label: subject.digest() for subject in subjects.models},
        code={name: code_digest(env) for name, env in envs.items()},
        rollouts=rollouts,
        seed=arguments.seed,
        greedy=arguments.greedy,
        folder=arguments.out or (subjects.run or RUNS) / "evals",
    )


def _announce(evaluation: Evaluation, waiting: Mapping[str, Mapping[Cell, int]]) -> None:
    models = evaluation.subjects.models
    total = sum(map(len, evaluation.tasks.values())) * evaluation.rollouts * len(models)
    left = sum(sum(counts.values()) for counts in waiting.values())
    logger.info("models: %s", ", ".join(f"{s.label} {s.name}" for s in models))
    logger.info("suites: %s", ", ".join(map(str, evaluation.tasks)))
    logger.info("episodes: %d to play, %d on disk", left, total - left)


def _play(evaluation: Evaluation, waiting: Mapping[str, Mapping[Cell, int]]) -> None:
    """Plays what is not on disk, one model in memory at a time."""
    with ExitStack() as stack:
        rollouts: dict[str, Rollouts] = {}
        for subject in evaluation.subjects.models:
            unfinished = waiting[subject.label]
            if not unfinished:
                continue
            subjects = evaluation.subjects
            for env in dict.fromkeys(cell.env for cell in unfinished if cell.env not in rollouts):
                opened = Rollouts(env, subjects.limits, sandbox=subjects.sandbox)
                rollouts[env] = stack.enter_context(opened)
            with open_policy(subject, subjects.config, greedy=evaluation.greedy) as policy:
                for cell in unfinished:
                    _play_cell(evaluation, policy, rollouts[cell.env], cell, subject)


def _play_cell(
    evaluation: Evaluation, policy: Policy, play: Rollouts, cell: Cell, subject: Subject
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
    )


def _sampling(evaluation: Evaluation) -> str:
    return "greedy" if evaluation.greedy else "sampled at temperature 1"


def _check_verdicts(report: Report) -> None:
    for row in report.rows:
        for label, score in row.scores.items():
            if not score.episodes:
                raise EvaluationError(
                    f"no episode of {label} on {row.cell} has a verdict; the first broke with: "
                    f"{score.error}. Mend that; the same command plays them again"
                )


if __name__ == "__main__":
    main()
