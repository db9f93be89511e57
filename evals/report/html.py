"""One HTML file that shows a run, or several side by side, offline."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from omegaconf import OmegaConf

from evals.comparison.report import differences_table
from evals.comparison.results import load_result, version_differences
from evals.comparison.verdicts import compare_results
from evals.evaluation.arguments import RUNS
from evals.report import charts
from evals.report.columns import wide_table
from evals.report.errors import error_notes
from evals.report.left_out import left_out_notes
from evals.report.microscope import evaluation_episodes, training_episodes
from evals.report.report import Report, load, newest_report
from evals.report.tables import Table
from evals.statistics import Estimate
from scgrpo.runs.folders import CONFIG
from scgrpo.runs.log import read_metrics
from scgrpo.runs.stages import HEADER, STAGES, stage_lines

__all__ = ["MAX_BYTES", "page"]

MAX_BYTES = 10_000_000
CURVES = (
    "episodes/success",
    "episodes/turns",
    "episodes/tokens",
    "episodes/malformed_turns",
    "train/entropy",
    "train/gradient_norm",
    "credit/mean_d",
    "credit/d_above_noise",
    "credit/mean_w/weighted",
    "level",
)
PARTS, ERRORS = "env/", "errors/"


@dataclass(frozen=True)
class RunSection:
    """What the page shows of one run.

    `stages` is empty without a profile, what follows without an evaluation. `notes` are of errored
    episodes and of a model that was left out.
    """

    label: str
    about: str
    stages: Sequence[Sequence[str]] = ()
    sampling: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    charts: Sequence[Markup] = ()
    notes: Sequence[str] = ()


def page(runs: Sequence[Path], *, episodes: int = 200) -> str:
    """The page. It has fewer than `episodes` of each run if it would be over `MAX_BYTES`.

    Raises ValueError for broken files, and for a count under 1.
    """
    if episodes < 1:
        raise ValueError(f"got --episodes {episodes}, expected at least 1")
    by_label = _labels(runs)
    metrics = {
        label: read_metrics(run / "metrics.jsonl") for label, run in by_label.items()
    }
    sections = [_section(label, run, metrics[label]) for label, run in by_label.items()]
    values = {
        "title": f"{', '.join(by_label)}: training, evaluation, credit",
        "runs": sections,
        "stage_header": HEADER,
        "stage_meaning": STAGES,
        "curves": _curves(metrics),
        "comparison": _comparison(runs) if len(runs) > 1 else None,
    }

    # Nothing but the rendered page shows its size, so halve the episodes until it fits.
    while True:
        rows = []
        for label, run in by_label.items():
            rows += _episodes(run, label, episodes)
        text = _render(values, rows)
        if len(text.encode()) <= MAX_BYTES or episodes == 1:
            return text
        episodes //= 2


def _curves(
    metrics: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[tuple[str, Markup]]:
    # Every environment of a mixture has metrics of its own, and so has every cause of errors.
    names = {name for rows in metrics.values() for row in rows for name in row}
    others = sorted(name for name in names if name.startswith((PARTS, ERRORS)))
    curves = []
    for name in (*CURVES, *others):
        chart = charts.curve(name, metrics)
        if chart:
            curves.append((name, chart))
    return curves


def _episodes(run: Path, label: str, count: int) -> list[dict[str, Any]]:
    """Episodes of training, and up to a third of the newest evaluation."""
    folder = run / "evals"
    report = newest_report(folder)
    later = []
    # A report may outlive its episodes.
    has_episodes = (folder / "episodes").is_dir()
    if report is not None and has_episodes and count >= 3:
        later = evaluation_episodes(run, label, report, count // 3)
    room = max(1, count - len(later))
    training = training_episodes(run, label, _env(run), room)
    return [*training, *later]


def _render(values: Mapping[str, Any], episodes: list[dict[str, Any]]) -> str:
    env = Environment(
        loader=PackageLoader("evals.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )
    folder = files("evals.report")
    script = folder.joinpath("page.js.html").read_text()
    # The page's security policy lets this script run, and no other.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return env.get_template("page.html").render(
        **values,
        data={"episodes": episodes},
        has_credit=any(s.get("w") for e in episodes for s in e["segments"]),
        style=Markup(folder.joinpath("page.css.html").read_text()),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
    )


def _labels(runs: Sequence[Path]) -> dict[str, Path]:
    """Each run under its name; under its path if two share one."""
    names = [run.resolve().name for run in runs]
    return {
        name if names.count(name) == 1 else str(run): run
        for name, run in zip(names, runs, strict=True)
    }


def _section(label: str, run: Path, metrics: Sequence[Mapping[str, Any]]) -> RunSection:
    about = f"{_env(run)}, {len(metrics)} steps"
    stages = stage_lines(metrics)
    path = newest_report(run / "evals")
    if path is None:
        return RunSection(label, about, stages)

    report = load(path)
    table = wide_table(report.rows)
    notes = list(left_out_notes(report.provenance))
    for row in report.rows:
        for name, score in row.scores.items():
            notes += error_notes(name, row.suite, score)
    return RunSection(
        label,
        about,
        stages,
        report.provenance.get("sampling", ""),
        table.header,
        table.lines,
        _charts(report),
        notes,
    )


def _charts(report: Report) -> list[Markup]:
    rates, gains = [], []
    for row in report.rows:
        suite = str(row.suite)
        for name, score in row.scores.items():
            rates.append({"model": name, **_point(suite, score.success)})
        for difference in row.differences:
            pair = f"{difference.after} - {difference.before}"
            gains.append({"pair": pair, **_point(suite, difference.estimate)})
    both = [
        charts.intervals(rates, of="model", title="success, %"),
        charts.intervals(gains, of="pair", title="difference, points", zero=True),
    ]
    return [chart for chart in both if chart]


def _point(suite: str, estimate: Estimate) -> dict[str, Any]:
    point: dict[str, Any] = {"suite": suite}
    for name in ("value", "low", "high"):
        value = getattr(estimate, name)
        point[name] = None if math.isnan(value) else 100 * value
    return point


def _comparison(runs: Sequence[Path]) -> dict[str, Any]:
    """The runs less the first; a note if they cannot be compared."""
    try:
        results = [load_result(str(run), RUNS) for run in runs]
        notes = version_differences(results, allowed=True)
        table = differences_table(compare_results(results))
    except ValueError as error:
        table, notes = Table((), ()), [f"Not compared: {error}"]
    return {"header": table.header, "rows": table.lines, "notes": notes}


def _env(run: Path) -> str:
    path = run / CONFIG
    if not path.is_file():
        return "unknown"
    return str(OmegaConf.select(OmegaConf.load(path), "env"))
