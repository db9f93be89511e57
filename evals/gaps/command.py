"""What `scgrpo gap` does with its arguments; a trial measures its cells by the same."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.evaluation.arguments import evaluation_parser, parse_evaluation

if TYPE_CHECKING:
    from evals.report.tables import TableReport

__all__ = ["CONTROLS", "PROG", "parse", "run"]

PROG = "scgrpo gap"
DESCRIPTION = (
    "Plays the same tasks with and without a verified reference in front of the model, and gives "
    "the difference of success in points."
)
CONTROLS = ("other", "failed", "guide")
EXAMPLES = f"""\
examples:
  {PROG}                       the newest run's models, on its environment and level
  {PROG} runs/baseline --quick
  {PROG} --model auto --envs tool_store math_word --levels 0
  {PROG} --model FOLDER --envs swe_lite --controls    own reference alone, a third of the time
  {PROG} --model FOLDER --envs toy_guess --json | jq .gaps

`own` is a verified random episode of the task (the oracle's, if random play solves it never), shown
as training's teacher reads it: by the run's reference.*, in the system message. Controls: `other`
is another task's, `failed` one that failed, `guide` the sentence before a reference alone. A model
that reads has a gap with `own` whose interval is above 0, and none with `other` and `guide`; if
`guide` does as well as `own`, nothing was read. `train` with a rule that reads references warns if
the saved gap of its starting weights is not above 0, and plan=true prints it.

Interrupted? The same command goes on where it stopped. Episodes without a reference are shared with
`scgrpo eval` of the same --tasks, --rollouts and --seed.
"""
# Intervals of about 10 points either way.
FULL, QUICK = (100, 1), (30, 1)

# One name for all parts of the command, which `to_terminal` prints.
logger = logging.getLogger("evals.gap")


def parse(words: list[str]) -> argparse.Namespace:
    """The arguments of the command. Exits with 2 for bad ones, and with 0 after `--help`."""
    parser = evaluation_parser(
        PROG, DESCRIPTION, EXAMPLES, full=FULL, quick=QUICK, servers=False
    )
    parser.add_argument(
        "--controls",
        nargs="*",
        choices=CONTROLS,
        default=list(CONTROLS),
        metavar="NAME",
        help=f"what else is shown: {', '.join(CONTROLS)}; default all, without a name none",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the report as JSON on standard output",
    )
    return parse_evaluation(parser, words)


def run(arguments: argparse.Namespace, argv: Sequence[str]) -> TableReport:
    """Plays, prints and writes.

    Raises after the report: BudgetSpent, and EvaluationError if a model has no task with a verdict
    on both sides.
    """
    # After parsing, so that --help is quick; and torch after the plan, so that bad arguments are
    # refused at once.
    from evals.evaluation.starting import plan_without_unsolved_base
    from scgrpo.runs.log import to_terminal

    to_terminal()
    evaluation, envs, _ = plan_without_unsolved_base(arguments)

    from evals.evaluation.play import EvaluationError, check_complete
    from evals.evaluation.policies import check_budgets
    from evals.evaluation.provenance import provenance
    from evals.gaps.play import GapPlan, check_positions, play_gaps
    from evals.gaps.report import gap_report, gap_rows, measured_gaps
    from evals.report.tables import finite, show, write

    check_budgets(evaluation.evaluated)
    gap_plan = GapPlan(evaluation, ["none", "own", *arguments.controls])
    check_positions(gap_plan)
    origin = provenance(evaluation.evaluated, evaluation.digests, PROG, argv)
    measured, stopped, budget = play_gaps(gap_plan, arguments)

    rows = []
    for of_model in measured:
        families = [task.family for task in evaluation.tasks[of_model.suite]]
        rows += gap_rows(of_model, evaluation.rollouts, families)
    gaps = measured_gaps(measured, rows, evaluation, envs, origin["date"])
    origin |= {"stopped": stopped, "seed": evaluation.seed, "code": evaluation.code}
    origin |= {"rollouts": evaluation.rollouts, "sampling": evaluation.sampling}
    report = gap_report(rows, measured, gaps, origin)
    if arguments.json:
        print(json.dumps(finite(report.data), indent=2, default=str))
    else:
        show(report)
    paths = write(report, gap_plan.folder, gap_plan.name)
    logger.info("report: %s", " and ".join(map(str, paths)))

    # A report that looks complete must be complete, so the command fails after writing it.
    check_complete(stopped, budget, "what ended is kept")
    for row in rows:
        if row.reference == "own" and row.gap is not None and not row.gap.tasks:
            raise EvaluationError(
                f"no task of {row.suite} has a verdict of {row.model} both with and without a "
                "reference; choose a level that random play or an oracle solves, and see the "
                "errors in the episodes"
            )
    return report
