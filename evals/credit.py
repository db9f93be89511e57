"""`scgrpo credit`: does credit fall on the critical tokens?

In environments with critical labels it is known which tokens decide a solved episode. For the
weight that training gave, and for signals that should do worse, this measures on each such episode

    AUROC   chance that a critical token has more of it than another one of the episode, ties half
    mass    share of the episode's sum that critical tokens have

and averages by task.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evals.evaluation.arguments import RUNS, add_run, whole_number
from sandboxes.commands import exit_codes

__all__ = ["main"]

PROG = "scgrpo credit"
EXAMPLES = f"""\
examples:
  {PROG}                        the newest run
  {PROG} runs/baseline --out credit
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if the disk is at fault, 2 for what it cannot measure."""
    arguments = _parser().parse_intermixed_args(argv)
    with exit_codes(PROG, bad_input=(OSError,)):
        # After parsing, so that --help is quick; a wrong name is refused before torch is imported.
        from scgrpo.runs.folders import find_run

        run = find_run(RUNS, arguments.run)

        from evals.credit_test.report import credit_report
        from evals.report.tables import show, write

        report = credit_report(run, seed=arguments.seed)
        show(report)
        paths = write(report, arguments.out or run / "evals" / "credit", "credit")
        print(f"report: {' and '.join(map(str, paths))}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Measures on a run's episodes whether credit falls on the critical tokens.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_run(parser, default="latest")
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=0,
        metavar="S",
        help="of the shuffled control; default 0",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="for JSON and Markdown; default: evals/credit in the run",
    )
    return parser


if __name__ == "__main__":
    main()
