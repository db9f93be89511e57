"""`python -m evals.compare A B [C ...]`: is B better than A on the same tasks, and by how much?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evals.comparison.report import show, write
from evals.comparison.results import distinct, load_result, mixed
from evals.comparison.verdicts import compare_results, ood_gain_ratios
from evals.evaluation.models import RUNS
from scgrpo.runs.disk import DiskError

__all__ = ["main"]

PROG = "python -m evals.compare"
EXAMPLES = f"""\
examples:
  {PROG} runs/grpo runs/scgrpo               the newest evaluation of each run
  {PROG} runs/scgrpo:base runs/scgrpo        a run's base model and its trained one
  {PROG} a/evals/x.json b/evals/y.json c     reports, evaluation folders and names in runs/
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 where the disk is at fault, 2 for bad input."""
    arguments = _parser().parse_args(argv)
    try:
        results = distinct([load_result(name, RUNS) for name in arguments.results])
        notes = mixed(results, allowed=arguments.allow_mixed)
        notes += dict.fromkeys(
            sentence for result in results for sentence in result.warnings
        )
        comparisons = compare_results(results)
        taxes = ood_gain_ratios(comparisons)
        show(comparisons, taxes, notes)
        folder = arguments.out or results[-1].report.parent / "comparisons"
        paths = write(results, comparisons, taxes, notes, folder)
        print(f"report: {' and '.join(map(str, paths))}", file=sys.stderr)
    except ValueError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except DiskError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Compares evaluated models on the tasks that all of them played.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "results",
        nargs="+",
        metavar="RESULT",
        help="a run, an evaluation folder or a report; `:LABEL` picks a model in it, such as "
        ":base (default: the most trained one). The first is what the others are compared with",
    )
    made.add_argument(
        "--allow-mixed",
        action="store_true",
        help="compare although code, limits or sampling differ; the report says so",
    )
    made.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="for Markdown and JSON; default: comparisons/ beside the last report",
    )
    return made


if __name__ == "__main__":
    main()
