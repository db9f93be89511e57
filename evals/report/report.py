"""The report of an evaluation: a table on the terminal, Markdown and JSON in a folder."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from evals.report.errors import causes_line, warning
from evals.report.scores import Row
from evals.statistics import MIN_FAMILIES, Estimate
from scgrpo.runs.disk import write_atomically

__all__ = ["Report", "markdown", "show", "write"]

PIPE_WIDTH = 110


@dataclass(frozen=True)
class Report:
    """Rows, and `facts` about how they came to be: JSON-able, keyed by what they are."""

    rows: Sequence[Row]
    facts: Mapping[str, Any]


def show(report: Report, *, file: Any = None) -> None:
    """Prints the table and its legend on standard output, or to `file`."""
    console = Console(file=file or sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    labels, pairs = _models(report)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in [
        "suite",
        *labels,
        *(f"{after}\n- {before}" for after, before in pairs),
    ]:
        table.add_column(name, justify="left" if name == "suite" else "right")
    for row in report.rows:
        lines = _section(row)
        for line in lines:
            table.add_row(*line, end_section=line is lines[-1])
    console.print(_title(report), markup=False)
    console.print(table)
    for sentence in _legend(report):
        console.print(sentence, markup=False)


def markdown(report: Report) -> str:
    """The same table and legend, pass@k and pass^k, and the facts, as a Markdown page."""
    legend = "\n".join(f"- {sentence}" for sentence in _legend(report))
    parts = [f"# {_title(report)}", _grid(*_wide(report)), legend]
    parts += [
        "## All of k rollouts, or one",
        _grid(*_powers(report)),
        "## How it was made",
    ]
    parts.append(
        "\n".join(f"- {key}: {_plain(value)}" for key, value in report.facts.items())
    )
    return "\n\n".join(parts) + "\n"


def write(report: Report, folder: Path, name: str) -> tuple[Path, Path]:
    """Writes `name.json` and `name.md`, each in one step, and returns their paths.

    Not-a-number is null in the JSON. Raises DiskError where the disk does not take them.
    """
    rows = [{**asdict(row.cell), **asdict(row)} for row in report.rows]
    for row in rows:
        del row["cell"]
    data = _finite({"facts": dict(report.facts), "rows": rows})
    texts = {
        folder / f"{name}.json": json.dumps(
            data, indent=2, allow_nan=False, default=str
        )
        + "\n",
        folder / f"{name}.md": markdown(report),
    }
    for path, text in texts.items():
        write_atomically(path, text)
    json_path, markdown_path = texts
    return json_path, markdown_path


def _title(report: Report) -> str:
    return f"Success with 95 % intervals, {report.facts['sampling']}"


def _models(report: Report) -> tuple[list[str], list[tuple[str, str]]]:
    """Labels of the models, and of those that are compared."""
    first = report.rows[0]
    return list(first.scores), [(d.after, d.before) for d in first.differences]


def _section(row: Row) -> list[list[str]]:
    """A cell as lines of the terminal's table: a column for each model and difference."""
    scores = row.scores.values()
    rates = [_rate(score.success) for score in scores]
    gains = [_gain(difference.estimate) for difference in row.differences]
    return [
        [
            f"{row.cell.env} level {row.cell.level}",
            *(value for value, _ in [*rates, *gains]),
        ],
        [f"{row.cell.split}", *(interval for _, interval in [*rates, *gains])],
        [
            f"  episodes, {row.tasks} x {row.rollouts}",
            *(str(s.episodes) for s in scores),
        ],
        ["  errors", *(str(s.errors) for s in scores)],
        ["  malformed turns", *(f"{_number(100 * s.malformed, 0)} %" for s in scores)],
        ["  mean turns", *(_number(s.turns, 1) for s in scores)],
        ["  mean tool calls", *(_number(s.tool_calls, 1) for s in scores)],
        ["  mean tokens", *(_number(s.tokens, 0) for s in scores)],
        ["  turns cut at the limit", *(f"{_number(100 * s.cut, 0)} %" for s in scores)],
        ["  mean seconds", *(_number(s.seconds, 1) for s in scores)],
    ]


def _wide(report: Report) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the Markdown table: a line for each cell."""
    labels, pairs = _models(report)
    header = ["suite", *labels, *(f"{after} - {before}" for after, before in pairs)]
    header += [
        "tasks x rollouts",
        "episodes",
        "errors",
        "malformed turns, %",
        "mean turns",
    ]
    header += ["mean tool calls", "mean tokens", "turns cut, %", "mean seconds"]
    lines = []
    for row in report.rows:
        scores = row.scores.values()
        estimates = [_rate(score.success) for score in scores]
        estimates += [_gain(difference.estimate) for difference in row.differences]
        lines.append(
            [
                str(row.cell),
                *(f"{value} ({interval})" for value, interval in estimates),
                f"{row.tasks} x {row.rollouts}",
                _each([str(score.episodes) for score in scores]),
                _each([str(score.errors) for score in scores]),
                _each([_number(100 * score.malformed, 0) for score in scores]),
                _each([_number(score.turns, 1) for score in scores]),
                _each([_number(score.tool_calls, 1) for score in scores]),
                _each([_number(score.tokens, 0) for score in scores]),
                _each([_number(100 * score.cut, 0) for score in scores]),
                _each([_number(score.seconds, 1) for score in scores]),
            ]
        )
    return header, lines


def _rate(estimate: Estimate) -> tuple[str, str]:
    """A share and its interval, in per cent."""
    low, high = (_number(100 * x, 1) for x in (estimate.low, estimate.high))
    return f"{_number(100 * estimate.value, 1)} %{_mark(estimate)}", f"{low}-{high}"


def _gain(estimate: Estimate) -> tuple[str, str]:
    """A difference and its interval, in points; better or worse only where it leaves 0 out."""
    value, low, high = (
        _number(100 * x, 1, sign=True)
        for x in (estimate.value, estimate.low, estimate.high)
    )
    word = " better" if estimate.low > 0 else " worse" if estimate.high < 0 else ""
    return f"{value}{_mark(estimate)}{word}", f"{low} to {high}"


def _mark(estimate: Estimate) -> str:
    return "" if estimate.clustered_by == "family" else "*"


def _legend(report: Report) -> list[str]:
    lines = [
        "Differences are points of success, paired by task; better or worse is said only where "
        "the interval leaves 0 out.",
        "Intervals take tasks of one family (the same function or template) as one observation "
        "of it. At 0 and 100 % each family counts as one episode.",
        "Errors are episodes that broke without a verdict: they are in no other number. They are "
        "played again by the same command.",
    ]
    estimates = [score.success for row in report.rows for score in row.scores.values()]
    lines += _incomplete(report)
    if any(estimate.clustered_by == "task" for estimate in estimates):
        lines.append(
            f"* under {MIN_FAMILIES} families, so the interval is over tasks: it speaks of these "
            "families alone."
        )
    for row in report.rows:
        for label, score in row.scores.items():
            about = asdict(score)
            lines += filter(
                None, [say(label, row.cell, about) for say in (causes_line, warning)]
            )
            if score.error:
                lines.append(
                    f"First error of {label} on {row.cell}: {score.error:.300}"
                )
    return lines


def _incomplete(report: Report) -> list[str]:
    """What is missing, by model, where a limit or a server ended the evaluation."""
    stopped, missing = report.facts.get("stopped"), report.facts.get("missing", {})
    if not stopped:
        return []
    lines = [
        f"Incomplete: {stopped}. The numbers are of the episodes that ended, and short ones end "
        "first. The same command goes on."
    ]
    for label, cells in missing.items():
        counts = ", ".join(f"{count} on {cell}" for cell, count in cells.items())
        lines.append(f"Missing episodes of {label}: {counts}.")
    return lines


def _powers(report: Report) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the table of pass@k (one of k solves) and pass^k (all of k do)."""
    ks = list(next(iter(report.rows[0].scores.values())).pass_at)
    header = ["suite", "model", *(f"pass@{k}" for k in ks), *(f"pass^{k}" for k in ks)]
    lines = [
        [str(row.cell), label]
        + [
            _number(100 * each[k], 1)
            for each in (score.pass_at, score.pass_hat)
            for k in ks
        ]
        for row in report.rows
        for label, score in row.scores.items()
    ]
    return header, lines


def _each(values: Sequence[str]) -> str:
    """One value where all models have the same, else all of them."""
    return values[0] if len(set(values)) == 1 else "/".join(values)


def _number(value: float, digits: int, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "-"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def _grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _finite(value: Any) -> Any:
    """The same with None for not-a-number and infinity, and text for the keys."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
