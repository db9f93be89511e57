"""`scgrpo compare`: is B better than A on the same tasks, and by how much?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evals.evaluation.arguments import RUNS
from sandboxes.commands import exit_codes

__all__ = ["main"]

PROG = "scgrpo compare"
EXAMPLES = f"""\
examples:
  {PROG} runs/grpo runs/scgrpo               the newest evaluation of each run
  {PROG} runs/scgrpo:base runs/scgrpo        a run's base model and its trained one
  {PROG} a/evals/x.json b/evals/y.json c     reports, evaluation folders and names in runs/
  {PROG} logs/before.eval logs/after.eval    logs of Inspect; so for lm-eval's samples,
                                                     verifiers' traces, Harbor's jobs, NeMo Gym's
                                                     rollouts and tables of task and pass
  {PROG} table.csv:gpt table.csv:qwen        two models of a table with a column `model`
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if the disk is at fault, 2 for bad input."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG):
        _compare(arguments)


def _compare(arguments: argparse.Namespace) -> None:
    # After parsing, so that --help is quick.
    from evals.comparison.formats import Choice, load_any
    from evals.comparison.report import comparison_report, file_name
    from evals.comparison.results import version_differences, with_distinct_labels
    from evals.comparison.verdicts import compare_results, ood_gain_ratios
    from evals.report.tables import show, write

    choice = Choice(arguments.metric, arguments.pass_at)
    results = [load_any(name, RUNS, choice) for name in arguments.results]
    results = with_distinct_labels(results)
    notes = version_differences(results, allowed=arguments.allow_mixed)
    # Several labels of one report repeat its warnings.
    notes += dict.fromkeys(sentence for r in results for sentence in r.warnings)

    comparisons = compare_results(results)
    ratios = ood_gain_ratios(comparisons)
    report = comparison_report(results, comparisons, ratios, notes)
    show(report)

    folder = arguments.out or results[-1].report.parent / "comparisons"
    paths = write(report, folder, file_name(results))
    print(f"report: {' and '.join(map(str, paths))}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Compares evaluated models on the tasks that all of them played.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "results",
        nargs="+",
        metavar="RESULT",
        help="a run, an evaluation folder or a report; or what another harness wrote. `:LABEL` "
        "picks a model in it, such as :base (default: the most trained one). The others are "
        "compared with the first",
    )
    parser.add_argument(
        "--metric",
        default="",
        metavar="NAME",
        help="scorer, metric or column of other harnesses' results; default: their first",
    )
    parser.add_argument(
        "--pass-at",
        type=float,
        metavar="SCORE",
        help="score from which a rollout of theirs has passed; default: scores count as they are",
    )
    parser.add_argument(
        "--allow-mixed",
        action="store_true",
        help="compare although code, limits or sampling differ; the report says so",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="for Markdown and JSON; default: comparisons/ beside the last report",
    )
    return parser


if __name__ == "__main__":
    main()
