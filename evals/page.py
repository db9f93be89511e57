"""`scgrpo report`: one HTML file that shows a run, or several side by side, offline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evals.evaluation.arguments import RUNS, positive
from sandboxes.commands import exit_codes

__all__ = ["main"]

PROG = "scgrpo report"
EXAMPLES = f"""\
examples:
  {PROG}                            the newest run
  {PROG} runs/grpo runs/scgrpo      two runs in one page
  {PROG} baseline --out page.html
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if the disk is at fault, 2 for what it cannot show."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG, bad_input=(OSError,)):
        # After parsing, so that --help is quick.
        from scgrpo.runs.disk import write_atomically
        from scgrpo.runs.folders import find_run

        runs = [find_run(RUNS, name) for name in arguments.runs]

        # After the names, which are refused at once: altair takes a second to import.
        from evals.report.html import page

        text = page(runs, episodes=arguments.episodes)
        path = arguments.out or runs[-1] / "evals" / "report.html"
        write_atomically(path, text)
        print(f"report: {path} ({len(text.encode()) / 1e6:.1f} MB)", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Writes one HTML file with curves, tables and the credit of every token. "
        "It needs no network. Several runs stand side by side.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="*",
        default=["latest"],
        metavar="RUN",
        help="folders or names in runs/; default: the newest",
    )
    parser.add_argument(
        "--episodes",
        type=positive,
        default=200,
        metavar="N",
        help="at most N of each run; default 200",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: evals/report.html in the last run",
    )
    return parser


if __name__ == "__main__":
    main()
