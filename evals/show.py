"""`python -m evals.show`: a run on the terminal: curves, the newest table, one episode's credit."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from evals.credit_test.record import Credited, read_step, steps, token_texts
from evals.evaluation.models import RUNS
from scgrpo.runs.folders import find_run
from scgrpo.runs.log import read_metrics

__all__ = ["main", "parser", "sparkline"]

PROG = "python -m evals.show"
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60
CURVES = (
    "episodes/success",
    "episodes/turns",
    "credit/mean_d",
    "train/entropy",
    "level",
)
# Among equals the first that has a reference: only there is one token's credit unlike another's.
CHOICES: dict[str, Callable[[Credited], tuple[float, bool]]] = {
    "best": lambda c: (_score(c, 1.0), c.reference is not None),
    "worst": lambda c: (_score(c, -1.0), c.reference is not None),
}


def parser() -> argparse.ArgumentParser:
    """Reads the arguments; refuses bad ones with exit code 2 and a sentence."""
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Shows a run: its curves, its newest evaluation and one episode's credit.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add(
        "run",
        nargs="?",
        default="latest",
        help="a folder, or a name in runs/; default: newest",
    )
    add("--step", type=int, metavar="N", help="whose episodes; default: the last")
    which = made.add_mutually_exclusive_group()
    which.add_argument(
        "--episode", type=int, metavar="I", help="its place in the step, from 0"
    )
    which.add_argument(
        "--best", action="store_true", help="the highest score (default)"
    )
    which.add_argument(
        "--worst", action="store_true", help="the lowest score that has a verdict"
    )
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, or 2 for what it cannot show."""
    arguments = parser().parse_args(argv)
    try:
        folder = Path(arguments.run)
        run = (
            folder if (folder / "episodes").is_dir() else find_run(RUNS, arguments.run)
        )
        _show(run, arguments, Console(file=sys.stdout, highlight=False))
    except (ValueError, OSError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)


def sparkline(values: Sequence[float]) -> str:
    """One bar for each value, the lowest to the highest; means of neighbours over 60 of them."""
    size = math.ceil(len(values) / WIDTH) or 1
    means = [
        sum(part) / len(part)
        for i in range(0, len(values), size)
        if (part := values[i : i + size])
    ]
    if not means:
        return ""
    low, spread = min(means), max(means) - min(means)
    return "".join(
        BARS[round((len(BARS) - 1) * (x - low) / spread) if spread else 0]
        for x in means
    )


def _show(run: Path, arguments: argparse.Namespace, console: Console) -> None:
    console.print(f"run {run}", markup=False)
    console.print(_curves(read_metrics(run / "metrics.jsonl")))
    found = sorted(
        (run / "evals").glob("*.json"), key=lambda path: path.stat().st_mtime_ns
    )
    if found:
        console.print(_table(json.loads(found[-1].read_text())))
    else:
        console.print("no evaluation yet: python -m evals.run makes one")
    kept = steps(run)
    if not kept and arguments.step is None:
        console.print("no episode was kept")
        return
    step = kept[-1] if arguments.step is None else arguments.step
    credited = read_step(run, step)
    chosen = _choose(credited, arguments)
    console.print(_heading(chosen, step, len(credited)))
    console.print(_episode(chosen, token_texts(run)))


def _curves(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("curve", "first", f"steps 1 to {len(rows)}", "last", box=SIMPLE_HEAD)
    for name in CURVES:
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        if values:
            table.add_row(
                name, f"{values[0]:.3g}", sparkline(values), f"{values[-1]:.3g}"
            )
    return table


def _table(data: dict[str, Any]) -> Table:
    """Success and its interval of each model on each cell of a saved report."""
    labels = list(data["rows"][0]["scores"]) if data["rows"] else []
    table = Table("suite", *labels, box=SIMPLE_HEAD)
    for row in data["rows"]:
        cells = [_share(row["scores"][label]["success"]) for label in labels]
        table.add_row(Text(f"{row['env']} level {row['level']} {row['split']}"), *cells)
    return table


def _share(success: dict[str, Any]) -> str:
    value, low, high = (
        "-" if success[key] is None else f"{100 * success[key]:.1f}"
        for key in ("value", "low", "high")
    )
    return f"{value} % ({low}-{high})"


def _choose(credited: Sequence[Credited], arguments: argparse.Namespace) -> Credited:
    if not credited:
        raise ValueError("that step has no episode")
    if arguments.episode is None:
        return max(credited, key=CHOICES["worst" if arguments.worst else "best"])
    if not 0 <= arguments.episode < len(credited):
        raise ValueError(
            f"got --episode {arguments.episode}, wanted 0 to {len(credited) - 1} in that step"
        )
    return credited[arguments.episode]


def _score(credited: Credited, sign: float) -> float:
    verdict = credited.episode.verdict
    return -math.inf if verdict is None else sign * verdict.score


def _heading(chosen: Credited, step: int, count: int) -> Text:
    verdict = {True: "solved", False: "not solved", None: "void"}[
        chosen.episode.verified
    ]
    parts = [
        f"step {step}, episode {chosen.place} of {count}: {chosen.episode.task.id}, {verdict}"
    ]
    if chosen.advantage is not None:
        parts.append(f"advantage {chosen.advantage:+.3f}, case {chosen.case}")
    if chosen.reference is not None:
        parts.append(f"reference: episode {chosen.reference}")
    if not chosen.weight:
        parts.append("no credit was kept for it")
    return Text("\n".join(parts))


def _episode(chosen: Credited, text_of: Callable[[int], str]) -> Text:
    """The conversation; the stronger a token's red, the nearer its w is to the episode's most."""
    shown, place = Text(), 0
    most = max(chosen.weight, default=0.0) or 1.0
    for segment in chosen.episode.segments:
        shown.append(f"\n{segment.source}\n", style="bold")
        if segment.source != "policy" or not chosen.weight:
            shown.append(_visible(segment.text))
        else:
            for token in segment.token_ids:
                share = max(0.0, chosen.weight[place] / most)
                shown.append(_visible(text_of(token)), style=_shade(share))
                place += 1
    return shown


def _shade(share: float) -> Style:
    """White to red for 0 to 1, under black letters: readable in dark and light terminals."""
    rest = 255 - round(180 * min(1.0, share))
    return Style(color="#000000", bgcolor=f"#ff{rest:02x}{rest:02x}")


def _visible(text: str) -> str:
    """The text with control characters written out: an episode must not steer the terminal."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text
    )


if __name__ == "__main__":
    main()
