"""Runs side by side as a table for the terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.history.prices import PriceList
from evals.history.records import RunRecord, SuiteScore, Tokens, differing_settings
from evals.report.tables import (
    UNKNOWN,
    Table,
    TableReport,
    finite,
    gain,
    number,
    rate,
    source_hashes,
)
from evals.statistics import Estimate

__all__ = ["History", "as_csv", "as_json", "as_report"]

MILLION = 1e6
TOKENS = ("M tokens in training", "in evaluations")
RUNS = ("run", "settings that differ", "steps", "hours", "in training", *TOKENS)
SUCCESS = ("suite", "run", "success", "gain over base", "tasks x rollouts")
LEGEND = (
    "Success of each run's most trained model on held-out tasks, by the newest report that has the "
    "suite, with 95 % intervals; gain: over the least trained model there, paired by task. "
    "`scgrpo compare` says whether two runs differ.",
    "In training: success of the last 5 steps' episodes, which is no measurement of held-out "
    "tasks.",
    "Hours are of sampling and learning. Tokens are read + written in millions, each counted "
    "once; evaluation is all that the run's folder keeps.",
)


@dataclass(frozen=True)
class History:
    """Runs, and the prices that their costs are by, if the user gave any."""

    runs: Sequence[RunRecord]
    prices: PriceList | None = None

    @property
    def settings(self) -> list[str]:
        """The settings that differ between the runs."""
        return differing_settings(self.runs)

    def cost(self, run: RunRecord) -> float:
        """Of its hours and all of its tokens, in the prices' currency; NaN without prices."""
        if self.prices is None:
            return math.nan
        price = self.prices.of(str(run.settings.get("model", "")))
        read = run.training.read + run.evaluation.read
        written = run.training.written + run.evaluation.written
        tokens = price.read * read + price.written * written
        return price.hour * run.hours + tokens / MILLION


def as_report(history: History) -> TableReport:
    """The runs, and under each suite what they reached on it."""
    header: list[str] = [*RUNS]
    if history.prices is not None:
        header.append(f"cost {history.prices.currency}".strip())
    runs = Table(header, [_line(history, run) for run in history.runs])
    success = Table(SUCCESS, _success(history.runs), title="Success")
    tables = [runs, success] if success.lines else [runs]
    legend = [*LEGEND, *(note for run in history.runs for note in run.notes)]
    return TableReport(f"{len(history.runs)} runs", tables, legend, _data(history))


def as_csv(history: History) -> str:
    """A line for each run and suite, complete: numbers of the run are the same in each of its."""
    rows = [
        {**_about_run(history, run), **_about_suite(score)}
        for run in history.runs
        for score in run.suites or (None,)
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        # None, and so what is not finite, is an empty cell.
        writer.writerow(finite(row))
    return text.getvalue()


def as_json(history: History) -> str:
    """All of it unrounded, every setting included, with hashes of the files that were read.

    Not-a-number is null.
    """
    return json.dumps(finite(_data(history)), indent=2, default=str) + "\n"


def _data(history: History) -> dict[str, Any]:
    runs = [
        {
            "name": run.name,
            "folder": str(run.folder),
            "settings": dict(run.settings),
            "steps": run.steps,
            "hours": run.hours,
            "in_training": run.in_training,
            "tokens": {
                "training": asdict(run.training),
                "evaluation": asdict(run.evaluation),
            },
            "cost": history.cost(run),
            "suites": [asdict(score) for score in run.suites],
            "notes": list(run.notes),
        }
        for run in history.runs
    ]
    sources = [file for run in history.runs for file in run.sources]
    return {
        "differing_settings": history.settings,
        "prices": None if history.prices is None else asdict(history.prices),
        "runs": runs,
        "sources": source_hashes(sources),
    }


def _line(history: History, run: RunRecord) -> list[str]:
    own = [f"{key}={_word(run.settings.get(key))}" for key in history.settings]
    line = [
        run.name,
        " ".join(own) if run.settings else UNKNOWN,
        str(run.steps),
        number(run.hours, 2),
        UNKNOWN if math.isnan(run.in_training) else f"{100 * run.in_training:.1f} %",
        _millions(run.training),
        _millions(run.evaluation),
    ]
    if history.prices is not None:
        line.append(number(history.cost(run), 2))
    return line


def _success(runs: Sequence[RunRecord]) -> list[list[str]]:
    """A line for each suite and run, suite by suite in the order of their names."""
    scores = [
        (str(score.suite), run.name, score) for run in runs for score in run.suites
    ]
    # The order of the runs stays.
    scores.sort(key=lambda item: item[0])
    lines: list[list[str]] = []
    for suite, name, score in scores:
        gained = UNKNOWN if score.gain is None else str(gain(score.gain))
        size = f"{score.tasks} x {score.rollouts}"
        lines.append([suite, name, str(rate(score.success)), gained, size])
    return lines


def _millions(tokens: Tokens) -> str:
    if not tokens.read and not tokens.written:
        return UNKNOWN
    return f"{tokens.read / MILLION:.2f} + {tokens.written / MILLION:.2f}"


def _about_run(history: History, run: RunRecord) -> dict[str, Any]:
    own = {key: _word(run.settings.get(key)) for key in history.settings}
    return {
        "run": run.name,
        "folder": str(run.folder),
        **own,
        "steps": run.steps,
        "hours": run.hours,
        "in_training": run.in_training,
        "training_tokens_read": run.training.read,
        "training_tokens_written": run.training.written,
        "evaluation_tokens_read": run.evaluation.read,
        "evaluation_tokens_written": run.evaluation.written,
        "cost": history.cost(run),
    }


def _about_suite(score: SuiteScore | None) -> dict[str, Any]:
    names = (
        "env",
        "level",
        "split",
        "model",
        "tasks",
        "rollouts",
        "sampling",
        "report",
    )
    values: Sequence[Any] = [None] * len(names)
    if score is not None:
        suite = score.suite
        values = [suite.env, suite.level, suite.split, score.label, score.tasks]
        values += [score.rollouts, score.sampling, str(score.report)]
    success = None if score is None else score.success
    gained = None if score is None else score.gain
    return {
        **dict(zip(names, values, strict=True)),
        **_about_estimate("success", success),
        **_about_estimate("gain", gained),
    }


def _about_estimate(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    keys = (name, f"{name}_low", f"{name}_high")
    if estimate is None:
        return dict.fromkeys(keys)
    return dict(zip(keys, (estimate.value, estimate.low, estimate.high), strict=True))


def _word(value: Any) -> str:
    """A setting as `scgrpo train` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_word, value))
    return str(value)
