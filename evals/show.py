"""`scgrpo show`: a run on the terminal: curves, the newest table, one episode's credit."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from evals.evaluation.arguments import RUNS, add_run
from sandboxes.commands import exit_codes
from sandboxes.terminal import plain, terminal, visible

if TYPE_CHECKING:
    from envs.types import Episode
    from scgrpo.credit.record import CreditRow

__all__ = ["main", "sparkline"]

PROG = "scgrpo show"
EXAMPLES = f"""\
examples:
  {PROG}                            the newest run and the best episode of its last step
  {PROG} baseline --step 10 --worst
  {PROG} runs/baseline --episode 3
"""
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60
CURVES = (
    "episodes/success",
    "episodes/turns",
    "credit/mean_d",
    "train/entropy",
    "level",
)
VERDICTS = {True: "solved", False: "not solved", None: "errored"}


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, or 2 for what it cannot show."""
    arguments = _parser().parse_intermixed_args(argv)
    with exit_codes(PROG, bad_input=(OSError,)):
        # After parsing, so that --help is quick.
        from scgrpo.runs.folders import find_run

        run = find_run(RUNS, arguments.run)
        _show(run, arguments, terminal(sys.stdout))


def sparkline(values: Sequence[float]) -> str:
    """One bar for each value, from lowest to highest; means of neighbours if over 60."""
    if not values:
        return ""
    size = math.ceil(len(values) / WIDTH)
    parts = [values[i : i + size] for i in range(0, len(values), size)]
    means = [sum(part) / len(part) for part in parts]

    low, high = min(means), max(means)
    if low == high:
        return BARS[0] * len(means)
    step = (high - low) / (len(BARS) - 1)
    heights = [round((mean - low) / step) for mean in means]
    return "".join(BARS[height] for height in heights)


def _show(run: Path, arguments: argparse.Namespace, console: Console) -> None:
    # After parsing, so that --help is quick.
    from evals.credit_test.tokens import token_texts
    from evals.report.left_out import left_out_notes
    from evals.report.report import load, newest_report
    from scgrpo.credit.record import read_step, saved_steps
    from scgrpo.runs.log import read_metrics

    console.print(f"run {run}")
    console.print(_curves(read_metrics(run / "metrics.jsonl")))

    report = newest_report(run / "evals")
    if report is None:
        console.print("no evaluation yet: `scgrpo eval` makes one")
    else:
        saved = load(report)
        console.print(_scores(saved.rows))
        for note in left_out_notes(saved.provenance):
            console.print(plain(note))

    # With --step, `read_step` says which steps there are.
    steps = saved_steps(run)
    if not steps and arguments.step is None:
        console.print("no episode was saved")
        return
    step = steps[-1] if arguments.step is None else arguments.step
    episodes = read_step(run, step)
    episode, credit = _choose(episodes, arguments)
    console.print(_heading(episode, credit, step, len(episodes)))
    console.print(_conversation(episode, credit, token_texts(run)))


def _curves(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("curve", "first", f"steps 1 to {len(rows)}", "last", box=SIMPLE_HEAD)
    for name in CURVES:
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        if values:
            first, last = values[0], values[-1]
            table.add_row(name, f"{first:.3g}", sparkline(values), f"{last:.3g}")
    return table


def _scores(rows: Sequence[Any]) -> Table:
    """Success and its interval of each model on each suite of a saved report."""
    from evals.report.tables import rate

    table = Table(box=SIMPLE_HEAD)
    for heading in ("suite", *rows[0].scores):
        table.add_column(plain(heading), overflow="fold")
    for row in rows:
        rates = [str(rate(score.success)) for score in row.scores.values()]
        table.add_row(plain(str(row.suite)), *rates)
    return table


def _choose(
    episodes: Sequence[tuple[Episode, CreditRow]], arguments: argparse.Namespace
) -> tuple[Episode, CreditRow]:
    if not episodes:
        raise ValueError("that step has no episode")
    if arguments.episode is not None:
        if not 0 <= arguments.episode < len(episodes):
            raise ValueError(
                f"got --episode {arguments.episode}, expected 0 to {len(episodes) - 1} in that step"
            )
        return episodes[arguments.episode]

    sign = -1.0 if arguments.worst else 1.0

    def preference(pair: tuple[Episode, CreditRow]) -> tuple[float, bool]:
        """The largest is shown."""
        # Among equals the first with a reference: only there do tokens differ in credit.
        episode, credit = pair
        verdict = episode.verdict
        score = -math.inf if verdict is None else sign * verdict.score
        return score, credit.reference is not None

    return max(episodes, key=preference)


def _heading(episode: Episode, credit: CreditRow, step: int, count: int) -> Text:
    place = f"step {step}, episode {credit.episode} of {count}"
    verdict = VERDICTS[episode.verified]
    lines = [f"{place}: {episode.task.id}, {verdict}"]
    if credit.advantage is not None:
        lines.append(f"advantage {credit.advantage:+.3f}, case {credit.case}")
    if credit.reference is not None:
        lines.append(f"reference: episode {credit.reference}")
    if not credit.weight:
        lines.append("no credit was saved for it")
    return Text("\n".join(lines))


def _conversation(
    episode: Episode, credit: CreditRow, text_of: Callable[[int], str]
) -> Text:
    """The conversation; the stronger a token's red, the nearer its w is to the episode's most."""
    # Credit is one list over the action tokens of all turns; what is not finite is None there.
    weights = [weight or 0.0 for weight in credit.weight]
    shown, place = Text(), 0
    most = max(weights, default=0.0) or 1.0
    for segment in episode.segments:
        shown.append(f"\n{segment.source}\n", style="bold")
        if segment.source != "policy" or not weights:
            shown.append(visible(segment.thought), style="dim")
            shown.append(visible(segment.text))
            continue
        for token in segment.token_ids:
            share = weights[place] / most
            text = visible(text_of(token))
            shown.append(text, style=_shade(share))
            place += 1
    return shown


def _shade(share: float) -> Style:
    """White to red for 0 to 1, under black letters: readable in dark and light terminals."""
    share = min(1.0, max(0.0, share))
    rest = 255 - round(180 * share)
    return Style(color="#000000", bgcolor=f"#ff{rest:02x}{rest:02x}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Shows a run: its curves, its newest evaluation and one episode's credit.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_run(parser, default="latest")
    parser.add_argument(
        "--step", type=int, metavar="N", help="of the episode; default: the last"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--episode", type=int, metavar="I", help="its place in the step, from 0"
    )
    which.add_argument(
        "--best", action="store_true", help="the highest score (default)"
    )
    which.add_argument(
        "--worst", action="store_true", help="the lowest score that has a verdict"
    )
    return parser


if __name__ == "__main__":
    main()
