"""`python -m evals.page`: one HTML file that shows a run, or several beside each other, offline."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from omegaconf import OmegaConf

from evals.comparison.results import load_result, mixed
from evals.comparison.verdicts import compare_results
from evals.evaluation.models import RUNS
from evals.report import charts
from evals.report.errors import causes_line, warning
from evals.report.microscope import evaluation_episodes, microscope
from scgrpo.runs.disk import DiskError, write_atomically
from scgrpo.runs.folders import CONFIG, find_run
from scgrpo.runs.log import read_metrics

__all__ = ["MOST_BYTES", "main", "page", "parser"]

PROG = "python -m evals.page"
MOST_BYTES = 10_000_000
CURVES = (
    "episodes/success",
    "episodes/turns",
    "episodes/tokens",
    "episodes/malformed_turns",
    "train/entropy",
    "train/gradient_norm",
    "credit/mean_d",
    "credit/mean_w/weighted",
    "level",
)
ERRORS = "errors/"
COMPARED = (
    "suite",
    "model",
    "compared with",
    "tasks",
    "difference",
    "95 % interval",
    "verdict",
)


@dataclass(frozen=True)
class Run:
    """What the page says of one run; all but the first two are empty without an evaluation.

    `notes` tell of errored episodes.
    """

    label: str
    about: str
    sampling: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    charts: Sequence[Markup]
    notes: Sequence[str] = ()


def parser() -> argparse.ArgumentParser:
    """Reads the arguments; refuses bad ones with exit code 2 and a sentence."""
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Writes one HTML file with curves, tables and the credit of every token. "
        "It needs no network. With several runs they stand beside each other.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add(
        "runs",
        nargs="*",
        default=["latest"],
        metavar="RUN",
        help="folders or names in runs/",
    )
    add(
        "--episodes",
        type=int,
        default=200,
        metavar="N",
        help="most of each run; default 200",
    )
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: evals/report.html in the last run",
    )
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 where the disk is at fault, 2 for what it cannot show."""
    arguments = parser().parse_args(argv)
    try:
        found = [_run_folder(name) for name in arguments.runs]
        text = page(found, episodes=arguments.episodes)
        path = arguments.out or found[-1] / "evals" / "report.html"
        write_atomically(path, text)
        print(f"report: {path} ({len(text.encode()) / 1e6:.1f} MB)", file=sys.stderr)
    except DiskError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(1)
    except (ValueError, OSError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)


def page(runs: Sequence[Path], *, episodes: int = 200) -> str:
    """The page. Fewer episodes than asked for where it would be over `MOST_BYTES`.

    Raises ValueError for broken files, and for a count under 1.
    """
    if episodes < 1:
        raise ValueError(f"got --episodes {episodes}, wanted at least 1")
    named = _labels(runs)
    metrics = {
        label: read_metrics(run / "metrics.jsonl") for label, run in named.items()
    }
    names = {name for rows in metrics.values() for row in rows for name in row}
    errors = sorted(name for name in names if name.startswith(ERRORS))
    drawn = [(name, charts.curve(name, metrics)) for name in (*CURVES, *errors)]
    values = {
        "title": f"{', '.join(named)}: training, evaluation, credit",
        "runs": [_run(label, run, metrics[label]) for label, run in named.items()],
        "curves": [(name, chart) for name, chart in drawn if chart],
        "comparison": _comparison(runs) if len(runs) > 1 else None,
    }
    while True:
        seen = [
            row
            for label, run in named.items()
            for row in _episodes(run, label, episodes)
        ]
        text = _rendered(values, seen)
        if len(text.encode()) <= MOST_BYTES or episodes == 1:
            return text
        episodes //= 2


def _episodes(run: Path, label: str, count: int) -> list[dict[str, Any]]:
    """Of training, and up to a third of its newest evaluation."""
    report = _newest_report(run)
    later = []
    if report is not None and (run / "evals" / "episodes").is_dir() and count >= 3:
        later = evaluation_episodes(run, label, report[0], count // 3)
    return [*microscope(run, label, _env(run), max(1, count - len(later))), *later]


def _rendered(values: Mapping[str, Any], episodes: list[dict[str, Any]]) -> str:
    env = Environment(
        loader=PackageLoader("evals", "."), autoescape=True, undefined=StrictUndefined
    )
    script = files("evals.report").joinpath("page.js.html").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return env.get_template("page.html").render(
        **values,
        data={"episodes": episodes},
        has_credit=any(s.get("w") for e in episodes for s in e["segments"]),
        style=Markup(files("evals.report").joinpath("page.css.html").read_text()),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
    )


def _run_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    inside = any((folder / part).exists() for part in ("metrics.jsonl", "episodes"))
    return folder if inside else find_run(RUNS, name)


def _labels(runs: Sequence[Path]) -> dict[str, Path]:
    """Each run under its name; under its path where two share one."""
    names = [run.resolve().name for run in runs]
    return {
        name if names.count(name) == 1 else str(run): run
        for name, run in zip(names, runs, strict=True)
    }


def _run(label: str, run: Path, metrics: Sequence[Mapping[str, Any]]) -> Run:
    about = f"{_env(run)}, {len(metrics)} steps"
    found = _newest_report(run)
    if found is None:
        return Run(label, about, "", (), (), ())
    _, data = found
    rows = data["rows"]
    labels = list(rows[0]["scores"])
    pairs = [(d["after"], d["before"]) for d in rows[0]["differences"]]
    header = ["suite", *labels, *(f"{after} - {before}" for after, before in pairs)]
    lines, rates, gains, notes = [], [], [], []
    for row in rows:
        suite = f"{row['env']} level {row['level']} {row['split']}"
        scores = [row["scores"][name]["success"] for name in labels]
        differences = [d["estimate"] for d in row["differences"]]
        lines.append([suite, *map(_rate, scores), *map(_gain, differences)])
        for name in labels:
            notes += [
                say(name, suite, row["scores"][name]) for say in (causes_line, warning)
            ]
        rates += [
            _point(suite, "model", n, s) for n, s in zip(labels, scores, strict=True)
        ]
        gains += [
            _point(suite, "pair", f"{after} - {before}", d)
            for (after, before), d in zip(pairs, differences, strict=True)
        ]
    drawn = [
        charts.intervals(rates, of="model", title="success, %"),
        charts.intervals(gains, of="pair", title="difference, points", zero=True),
    ]
    sampling = data["facts"].get("sampling", "")
    shown = [chart for chart in drawn if chart]
    return Run(
        label, about, sampling, header, lines, shown, [note for note in notes if note]
    )


def _newest_report(run: Path) -> tuple[Path, dict[str, Any]] | None:
    """Its file and what it says; None where there is none, or nothing in it."""
    paths = sorted(
        (run / "evals").glob("*.json"), key=lambda path: path.stat().st_mtime_ns
    )
    if not paths:
        return None
    try:
        data = json.loads(paths[-1].read_text())
        return (paths[-1], data) if data["rows"] and data["facts"] is not None else None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{paths[-1]} is no report: {error}; evaluate again"
        ) from error


def _comparison(runs: Sequence[Path]) -> dict[str, Any]:
    """The runs less the first; what makes that impossible is a note."""
    try:
        results = [load_result(str(run), RUNS) for run in runs]
        notes = mixed(results, allowed=True)
        found = compare_results(results)
    except ValueError as error:
        return {"header": COMPARED, "rows": [], "notes": [f"Not compared: {error}"]}
    rows = []
    for one in found:
        estimate = one.test.estimate
        value, low, high = (
            f"{100 * x:+.1f}" for x in (estimate.value, estimate.low, estimate.high)
        )
        interval = f"{low} to {high}"
        tasks = str(estimate.tasks)
        rows.append(
            [str(one.cell), one.after, one.before, tasks, value, interval, one.verdict]
        )
    return {"header": COMPARED, "rows": rows, "notes": notes}


def _env(run: Path) -> str:
    path = run / CONFIG
    return (
        str(OmegaConf.select(OmegaConf.load(path), "env"))
        if path.is_file()
        else "unknown"
    )


def _rate(estimate: Mapping[str, Any]) -> str:
    value, low, high = (_percent(estimate[key], "") for key in ("value", "low", "high"))
    return f"{value} % ({low}-{high})"


def _gain(estimate: Mapping[str, Any]) -> str:
    value, low, high = (
        _percent(estimate[key], "+") for key in ("value", "low", "high")
    )
    return f"{value} ({low} to {high})"


def _percent(value: float | None, sign: str) -> str:
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def _point(
    suite: str, of: str, name: str, estimate: Mapping[str, Any]
) -> dict[str, Any]:
    ends = {
        key: None if estimate[key] is None else 100 * estimate[key]
        for key in ("value", "low", "high")
    }
    return {"suite": suite, of: name, **ends}


if __name__ == "__main__":
    main()
