"""`scgrpo court`: a declared trial of methods, with controls, seeds, intervals and its data."""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxes.commands import exit_codes

if TYPE_CHECKING:
    from evals.trials.plan import Shard, TrialPlan

__all__ = ["main"]

PROG = "scgrpo court"
DESCRIPTION = (
    "Runs what a plan declares and is not in its data yet: every method on every cell with every "
    "seed, from equal weights, tasks and episodes. Then makes tables and a figure from the data."
)
EXAMPLES = f"""\
examples:
  {PROG} PLAN.yaml --plan             what it costs, and the smallest difference it can show
  {PROG} PLAN.yaml                    run what is missing, and report
  {PROG} PLAN.yaml --hours 2          start no run after two hours; the same command goes on
  {PROG} PLAN.yaml --report           tables from the data alone; nothing runs
  {PROG} PLAN.yaml --branches         does credit fall where tokens were worth something?
  {PROG} PLAN.yaml --gaps             does the model that all start from read references?
  {PROG} PLAN.yaml --only tool_store/0 sc_grpo 3       that run, if its row is missing
  {PROG} PLAN.yaml --only '*' 'grpo,plus/*' 0                all cells of two kinds of methods
  {PROG} PLAN.yaml --again tool_store/0 sc_grpo        that cell with new seeds, as a check

A plan is a YAML file; docs/court/small.yaml is one. Rows are appended to the JSONL file next to
it as runs end, so kill -9 costs nothing but the runs' last steps. A row is of the plan if what the
plan declares of its run and the environment's version are the same; the others are left out.
"""

logger = logging.getLogger("evals.court")


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if a run failed, 2 for a bad plan, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    with exit_codes(PROG, interrupted="stopped; the same command goes on"):
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Runs and reports. Raises ValueError for a bad plan, TrialError if a run failed."""
    from evals.trials.plan import load_plan
    from scgrpo.runs.log import to_terminal

    to_terminal()
    plan = load_plan(arguments.plan)
    shards = _shards(plan, arguments)
    data = arguments.data or arguments.plan.with_suffix(".jsonl")

    # After the plan is read, so that a bad one is refused at once.
    from evals.trials.branch_data import read_branches
    from evals.trials.data import rows_of
    from evals.trials.gaps import read_gaps
    from evals.trials.report import show_plan, write_report
    from evals.trials.run import TrialError, check_methods

    check_methods(plan)
    if arguments.plan_only:
        show_plan(plan, rows_of(plan, data))
        return
    failed: list[Shard] = []
    branches = data.with_suffix(".branches.jsonl")
    gaps = data.with_suffix(".gaps.jsonl")
    if arguments.branches:
        _branch(arguments.plan, plan, branches)
    elif arguments.gaps:
        _measure_gaps(arguments.plan, plan, gaps, arguments.runs)
    elif not arguments.report:
        failed = _run_missing(plan, shards, data, arguments)
    rows = rows_of(plan, data)
    write_report(plan, rows, read_branches(plan, branches), read_gaps(plan, gaps), data)
    if failed:
        raise TrialError(f"{len(failed)} runs failed: {', '.join(map(str, failed))}")


def _run_missing(
    plan: TrialPlan,
    stages: Sequence[Sequence[Shard]],
    data: Path,
    arguments: argparse.Namespace,
) -> list[Shard]:
    """Runs what `data` does not hold yet, stage by stage; returns the runs that failed."""
    from evals.trials.data import rows_of
    from evals.trials.report import show_plan
    from evals.trials.run import Work, missing_shards, run_shards

    work = Work(arguments.plan, data, arguments.runs)
    deadline = time.monotonic() + 3600 * arguments.hours
    failed: list[Shard] = []
    for shards in stages:
        rows = rows_of(plan, data)
        missing = missing_shards(plan, rows, shards)
        show_plan(plan, rows, missing)
        if missing:
            failed += run_shards(
                plan, work, missing, workers=arguments.workers, deadline=deadline
            )
        # Learning rates are chosen when all of their runs are there.
        if missing_shards(plan, rows_of(plan, data), shards):
            break
    return failed


def _branch(path: Path, plan: TrialPlan, data: Path) -> None:
    """Branches the cells that `data` does not hold yet."""
    from evals.trials.branch_data import read_branches
    from evals.trials.branches import branch_cell
    from evals.trials.data import write_lines
    from evals.trials.plan import Cell

    for seed in plan.branches.seeds:
        for cell in plan.cells:
            rows = read_branches(plan, data)
            if not any((row.cell, row.seed) == (cell, seed) for row in rows):
                new = branch_cell(path, plan, Cell.of(cell), seed)
                write_lines(data, [*rows, *new])


def _measure_gaps(path: Path, plan: TrialPlan, data: Path, runs: Path) -> None:
    """Measures the cells that `data` does not hold yet."""
    from evals.trials.data import write_lines
    from evals.trials.gaps import measure_gaps, read_gaps
    from evals.trials.plan import Cell

    for name in plan.cells:
        gaps = read_gaps(plan, data)
        if all(gap.cell != name for gap in gaps):
            new = measure_gaps(path, plan, Cell.of(name), runs / "gaps")
            write_lines(data, [*gaps, *new])


def _shards(plan: TrialPlan, arguments: argparse.Namespace) -> list[list[Shard]]:
    """The runs asked for, stage by stage. Raises ValueError for one that the plan has not."""
    from evals.trials.plan import Cell

    tuning = [list(plan.shards("tune"))] if len(plan.tuning.lrs) > 1 else []
    if arguments.again:
        cell, method = arguments.again
        return [*tuning, list(plan.again(Cell.of(cell), method))]
    trial = list(plan.shards())
    if arguments.only:
        trial = [shard for shard in trial if _is_one_of(shard, arguments.only)]
        if not trial:
            raise ValueError(f"the plan has no run `{' '.join(arguments.only)}`")
    return [*tuning, trial]


def _is_one_of(shard: Shard, patterns: Sequence[str]) -> bool:
    words = (str(shard.cell), shard.method, str(shard.seed))
    return all(
        any(fnmatchcase(word, pattern) for pattern in of_word.split(","))
        for word, of_word in zip(words, patterns, strict=True)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROG,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plan", type=Path, metavar="PLAN.yaml")
    _add_stages(parser.add_mutually_exclusive_group())
    parser.add_argument(
        "--hours",
        type=float,
        default=math.inf,
        metavar="H",
        help="start no run after so many hours",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="runs at the same time, one core each; default: the cores",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="default: PLAN.jsonl, next to the plan",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs/court"),
        metavar="DIR",
        help="of unfinished runs; default runs/court",
    )
    return parser


def _add_stages(group: argparse._MutuallyExclusiveGroup) -> None:
    """What the command does, unless it runs all that is missing."""
    group.add_argument(
        "--plan",
        dest="plan_only",
        action="store_true",
        help="print cost and power, and stop",
    )
    group.add_argument(
        "--report", action="store_true", help="make the report from the data, and stop"
    )
    group.add_argument(
        "--branches",
        action="store_true",
        help="play on from before the tokens of each cell's groups, and hold every method's credit "
        "against what they were worth; nothing is trained",
    )
    group.add_argument(
        "--gaps",
        action="store_true",
        help="measure in each cell whether the model that all start from reads references; "
        "nothing is trained",
    )
    group.add_argument(
        "--only",
        nargs=3,
        metavar=("CELL", "METHOD", "SEED"),
        help="this run alone, or all that match patterns such as '*' 'grpo,plus/*' 0",
    )
    group.add_argument(
        "--again",
        nargs=2,
        metavar=("CELL", "METHOD"),
        help="a second run of this cell's method, with new seeds",
    )


if __name__ == "__main__":
    main()
