"""`scgrpo runs`: all runs of a folder in one table: settings, success, tokens, hours, money."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evals.evaluation.arguments import RUNS
from sandboxes.commands import exit_codes

__all__ = ["main"]

PROG = "scgrpo runs"
EXAMPLES = f"""\
examples:
  {PROG}                                every run in runs/
  {PROG} runs/grpo runs/scgrpo          these
  {PROG} --format csv > runs.csv        for a spreadsheet
  {PROG} --format json > runs.json      unrounded, all settings, hashes of the files
  {PROG} --prices prices.yaml           what they cost; such a file has, all optional:
                                             currency: EUR
                                             hour: 1.80
                                             read: 0.02
                                             written: 0.08
                                             models: {{NAME: {{read: 0.5, written: 1.5}}}}
                                             (of an hour, and of a million tokens)
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, or 2 for what it cannot read."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG, bad_input=(OSError,)):
        _runs(arguments)


def _runs(arguments: argparse.Namespace) -> None:
    # After parsing, so that --help is quick.
    from evals.history.prices import load_prices
    from evals.history.records import read_run, runs_in
    from evals.history.table import History, as_csv, as_json, as_report
    from evals.report.tables import show
    from scgrpo.runs.log import progress

    # A wrong price list is refused before folders are read.
    prices = load_prices(arguments.prices) if arguments.prices else None
    folders = runs_in(map(Path, arguments.folders))
    records = []
    with progress(len(folders), "reading", shown=sys.stderr.isatty()) as bar:
        for folder in folders:
            records.append(read_run(folder))
            bar.advance()
    history = History(records, prices)
    match arguments.format:
        case "csv":
            print(as_csv(history), end="")
        case "json":
            print(as_json(history), end="")
        case _:
            show(as_report(history))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Shows runs side by side: the settings that differ, success on held-out tasks, "
        "tokens, hours and, with a price list, money.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "folders",
        nargs="*",
        default=[RUNS],
        metavar="FOLDER",
        help="runs, or folders of runs; default: runs/",
    )
    parser.add_argument(
        "--format",
        choices=("text", "csv", "json"),
        default="text",
        help="what is printed; default: text",
    )
    parser.add_argument(
        "--prices",
        type=Path,
        metavar="FILE",
        help="YAML or JSON of what an hour and a million tokens cost",
    )
    return parser


if __name__ == "__main__":
    main()
