"""`python -m evals.twins RUN_OR_MODEL`: is a task solved together with its one-edit twin?

What solves a task fails on its twin, so a policy that goes by what the task looks like fails one of
the two. Pair consistency is the share of pairs of which both are solved, rollout by rollout.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import gymnasium

from envs.base import TextEnv
from envs.types import Episode, Task
from evals.evaluation.arguments import parser, served
from evals.evaluation.budget import Budget, BudgetSpent
from evals.evaluation.models import find_models
from evals.evaluation.plan import Evaluation, announce
from evals.evaluation.provenance import code_digest, facts
from evals.evaluation.suites import ALL, Cell, open_envs
from evals.report.scores import outcome_table
from evals.report.tables import Sheet, interval, show, write
from evals.run import EvaluationError, plan, play_missing
from evals.statistics import MIN_FAMILIES, Estimate, paired_difference, success_rate
from evals.twin_envs import twin_of, twin_task
from sandboxes import SandboxError
from scgrpo.runs.disk import DiskError
from scgrpo.runs.log import to_terminal

__all__ = ["Consistency", "consistency", "main", "run"]

PROG = "python -m evals.twins"
HEADER = ("suite", "model", "task", "twin", "both", "twin less task")
EXAMPLES = f"""\
examples:
  {PROG}                       the newest run, its base and its warm-started model
  {PROG} runs/baseline --quick
  {PROG} FOLDER --envs toy_guess --levels 0 1
  {PROG} --base-url http://127.0.0.1:8080/v1 --envs toy_guess

Episodes of the tasks themselves are shared with `python -m evals.run` of the same --tasks,
--rollouts and --seed. Interrupted? The same command goes on where it stopped.
"""

logger = logging.getLogger("evals.twins")


@dataclass(frozen=True)
class Consistency:
    """What one model did on the pairs of a suite. Shares are means over pairs.

    | field | meaning |
    |---|---|
    | task, twin | success on either |
    | both | rollouts in which both were solved; a pair of which one is void does not count |
    | gap | success on the twin less that on the task, paired |
    """

    cell: Cell
    model: str
    task: Estimate
    twin: Estimate
    both: Estimate
    gap: Estimate


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 2 for bad arguments, 130 for Ctrl-C.

    With 1 for what broke and 3 for a spent budget, where finished episodes are kept.
    """
    arguments = _parser().parse_args(argv)
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


def consistency(
    cell: Cell,
    model: str,
    episodes: Sequence[Sequence[Episode]],
    twins: Sequence[Sequence[Episode]],
    families: Sequence[str],
    rollouts: int,
) -> Consistency:
    """Pair i is `episodes[i]`, up to `rollouts` of a task, and `twins[i]`, as many of its twin."""
    own, other = outcome_table(episodes, rollouts), outcome_table(twins, rollouts)
    return Consistency(
        cell,
        model,
        task=success_rate(own, families),
        twin=success_rate(other, families),
        # A void one is NaN, and so is its pair.
        both=success_rate(own * other, families),
        gap=paired_difference(own, other, families),
    )


def run(arguments: argparse.Namespace, argv: Sequence[str]) -> list[Consistency]:
    """Plays, prints and writes.

    Raises after the report: BudgetSpent, and EvaluationError where a server went away or a model
    has no pair with two verdicts.
    """
    server = served(arguments)
    model = arguments.subject or arguments.model
    subjects = find_models(model, arguments.base, arguments.run, server=server)
    envs = open_envs(
        arguments.envs or ([subjects.config.env] if subjects.run else [ALL])
    )
    evaluation, pairs = _with_twins(plan(arguments, subjects, envs), envs)
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
        consistency(
            cell,
            subject.label,
            evaluation.kept(cell, subject),
            evaluation.kept(twin, subject),
            [task.family for task in evaluation.tasks[cell]],
            evaluation.rollouts,
        )
        for cell, twin in pairs.items()
        for subject in subjects.models
    ]
    about = facts(subjects, evaluation.digests, argv)
    about |= {"command": shlex.join([*PROG.split(), *argv]), "stopped": stopped}
    about |= {
        "seed": evaluation.seed,
        "rollouts": evaluation.rollouts,
        "code": evaluation.code,
    }
    sheet = _sheet(rows, evaluation, about, stopped)
    show(sheet)
    paths = write(sheet, evaluation.folder / "twins", evaluation.name)
    logger.info("report: %s", " and ".join(map(str, paths)))
    _check_whole(rows, stopped, budget)
    return rows


def _with_twins(
    planned: Evaluation, envs: Mapping[str, TextEnv]
) -> tuple[Evaluation, dict[Cell, Cell]]:
    """The same with the twins' suites, and suite -> suite of its twins."""
    tasks: dict[Cell, Sequence[Task]] = {}
    pairs: dict[Cell, Cell] = {}
    for cell, chosen in planned.tasks.items():
        twins = [(task, twin_task(envs[cell.env], task)) for task in chosen]
        found = [(task, twin) for task, twin in twins if twin is not None]
        if not found:
            logger.info("%s has no twins", cell)
            continue
        pairs[cell] = replace(cell, env=twin_of(cell.env))
        tasks[cell] = [task for task, _ in found]
        tasks[pairs[cell]] = [twin for _, twin in found]
    if not pairs:
        raise ValueError(
            f"no task of {', '.join(map(str, planned.tasks))} has a twin; choose other --levels, "
            "or an environment that defines `twin`"
        )
    opened = open_envs([cell.env for cell in pairs.values()])
    code = {**planned.code, **{name: code_digest(env) for name, env in opened.items()}}
    return replace(planned, tasks=tasks, code=code), pairs


def _sheet(
    rows: Sequence[Consistency],
    evaluation: Evaluation,
    about: Mapping[str, object],
    stopped: str,
) -> Sheet:
    sampling = "greedy" if evaluation.greedy else "sampled at temperature 1"
    legend = [
        "Per cent of success, with 95 % intervals; tasks of one family are one observation of it.",
        "both: a task and its twin, which differs by one edit that turns the answer, solved in the "
        "same rollout. A policy that remembers answers solves one of the two.",
        "Pairs of which one episode broke without a verdict are left out of `both`.",
        *(
            f"{cell}: {len(tasks)} x {evaluation.rollouts} episodes"
            for cell, tasks in evaluation.tasks.items()
        ),
    ]
    if any(row.both.clustered_by == "task" for row in rows):
        legend.append(
            f"* under {MIN_FAMILIES} families, so the interval is over tasks, and speaks of these."
        )
    if stopped:
        legend.append(f"Incomplete: {stopped}. The same command goes on.")
    lines = [
        [
            str(row.cell),
            row.model,
            *(interval(e, 1, scale=100) for e in (row.task, row.twin, row.both)),
            interval(row.gap, 1, scale=100, sign="+"),
        ]
        for row in rows
    ]
    data = {"facts": about, "rows": [asdict(row) for row in rows]}
    return Sheet(f"Pairs of task and twin, {sampling}", HEADER, lines, legend, data)


def _check_whole(rows: Sequence[Consistency], stopped: str, budget: Budget) -> None:
    if stopped:
        words = f"stopped: {stopped}; what ended is kept: the same command goes on"
        raise BudgetSpent(words) if budget.spent else EvaluationError(words)
    for row in rows:
        if not row.both.tasks:
            raise EvaluationError(
                f"no pair of {row.model} on {row.cell} has two verdicts; the same command plays "
                "the broken episodes again"
            )


def _parser() -> argparse.ArgumentParser:
    made = parser()
    made.prog, made.epilog = PROG, EXAMPLES
    made.description = (
        "Plays tasks and their one-edit twins, and counts the pairs that are solved."
    )
    made.add_argument(
        "subject",
        nargs="?",
        default="",
        metavar="RUN_OR_MODEL",
        help="a run, its name in runs/, a model's folder or id; default: the newest run",
    )
    return made


if __name__ == "__main__":
    main()
