"""`scgrpo twins`: is a task solved together with its twin, which differs by one edit?

Task and twin are a minimal pair; see `evals.evaluation.pairs`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.evaluation.arguments import (
    INTERRUPTED,
    evaluation_parser,
    parse_evaluation,
)
from sandboxes.commands import exit_codes

if TYPE_CHECKING:
    from evals.evaluation.pairs import Consistency

__all__ = ["main", "run"]

PROG = "scgrpo twins"
DESCRIPTION = (
    "Plays tasks and their one-edit twins, and counts the pairs that are solved."
)
EXAMPLES = f"""\
examples:
  {PROG}                       the newest run, its base and its warm-started model
  {PROG} runs/baseline --quick
  {PROG} --model FOLDER --envs toy_guess --levels 0 1
  {PROG} --base-url http://127.0.0.1:8080/v1 --envs toy_guess

Episodes of the tasks themselves are shared with `scgrpo eval` of the same --tasks, --rollouts and
--seed. Interrupted? The same command goes on where it stopped.
"""

# As a command this module is called __main__, which has no handler.
logger = logging.getLogger("evals.twins")


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 for what broke, 2 for bad arguments, 3 for a spent budget.

    Finished episodes are kept in all cases, Ctrl-C (130) included.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # Twins are environments of this process, which no worker knows.
    parser = evaluation_parser(PROG, DESCRIPTION, EXAMPLES, workers=False)
    arguments = parse_evaluation(parser, words)
    with exit_codes(PROG, interrupted=INTERRUPTED):
        run(arguments, words)


def run(arguments: argparse.Namespace, argv: Sequence[str]) -> list[Consistency]:
    """Plays, prints and writes.

    Raises after the report: BudgetSpent, and EvaluationError if a server went away or a model
    has no pair with two verdicts.
    """
    # After parsing, so that --help is quick; and torch after the plan, so that bad arguments are
    # refused at once.
    from evals.evaluation.pairs import add_twins, consistency, pairs_report
    from evals.evaluation.plan import plan
    from scgrpo.runs.log import to_terminal

    to_terminal()
    planned, envs = plan(arguments)
    evaluation, pairs = add_twins(planned, envs)

    from evals.evaluation.play import EvaluationError, check_complete, play_missing
    from evals.evaluation.policies import check_budgets
    from evals.evaluation.provenance import provenance
    from evals.report.tables import show, write

    check_budgets(evaluation.evaluated)
    stopped, budget = play_missing(evaluation, arguments)

    rows = []
    for suite, twin in pairs.items():
        families = [task.family for task in evaluation.tasks[suite]]
        for model in evaluation.models:
            episodes = evaluation.episodes(suite, model)
            twins = evaluation.episodes(twin, model)
            row = consistency(
                suite, model.label, episodes, twins, families, evaluation.rollouts
            )
            rows.append(row)

    origin = provenance(evaluation.evaluated, evaluation.digests, PROG, argv)
    origin |= {"stopped": stopped, "seed": evaluation.seed}
    origin |= {"rollouts": evaluation.rollouts, "code": evaluation.code}
    report = pairs_report(rows, evaluation, origin)
    show(report)
    paths = write(report, evaluation.folder / "twins", evaluation.name)
    logger.info("report: %s", " and ".join(map(str, paths)))

    # A report that looks complete must be complete, so the command fails after writing it.
    check_complete(stopped, budget, "what ended is kept")
    for row in rows:
        if not row.both.tasks:
            raise EvaluationError(
                f"no pair of {row.model} on {row.suite} has two verdicts; the same command plays "
                "the broken episodes again, but none whose prompt is longer than the budget"
            )
    return rows


if __name__ == "__main__":
    main()
