"""The report of an evaluation: a table on the terminal, Markdown and JSON in a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable

from evals.evaluation.suites import Suite
from evals.report.columns import Column, columns_of, wide_table
from evals.report.errors import error_notes
from evals.report.left_out import left_out_notes
from evals.report.scores import Difference, Row, Score
from evals.report.tables import (
    FEW_FAMILIES,
    Table,
    bullets,
    console,
    direction,
    gain,
    grid,
    load_estimate,
    number,
    rate,
    write_pair,
)
from sandboxes.terminal import plain
from scgrpo.runs.markdown import markdown_text

__all__ = [
    "Report",
    "load",
    "markdown",
    "newest_report",
    "show",
    "write",
]

# Names of earlier releases -> those of today.
OLD_SCORE_KEYS = {"cut": "truncated"}


@dataclass(frozen=True)
class Report:
    """Rows, and their `provenance`: JSON-able, keyed by what it is."""

    rows: Sequence[Row]
    provenance: Mapping[str, Any]


def show(report: Report, *, file: Any = None) -> None:
    """Prints the table and its legend on standard output, or to `file`."""
    first = report.rows[0]
    pairs = [f"{d.after}\n- {d.before}" for d in first.differences]
    table = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("suite", overflow="fold")
    for name in [*first.scores, *pairs]:
        table.add_column(plain(name), justify="right", overflow="fold")
    for row in report.rows:
        table.add_section()
        for line in _section(row, columns_of(report.rows)):
            table.add_row(*map(plain, line))

    out = console(file)
    out.print(_title(report))
    out.print(table)
    for sentence in _legend(report):
        out.print(sentence)


def markdown(report: Report) -> str:
    """The same table and legend, pass@k and pass^k, and the provenance, as a Markdown page."""
    origins = [f"{key}: {_line(value)}" for key, value in report.provenance.items()]
    parts = [
        f"# {markdown_text(_title(report))}",
        grid(wide_table(report.rows)),
        bullets(_legend(report)),
        "## All of k rollouts, or one",
        grid(_powers(report)),
        "## How it was made",
        bullets(origins),
    ]
    return "\n\n".join(parts) + "\n"


def write(report: Report, folder: Path, name: str) -> tuple[Path, Path]:
    """Writes `name.json` and `name.md`, each in one step, and returns their paths.

    Not-a-number is null in the JSON. Raises DiskError if the disk does not take them.
    """
    rows = []
    for row in report.rows:
        data = {**asdict(row.suite), **asdict(row)}
        del data["suite"]
        rows.append(data)
    data = {"provenance": dict(report.provenance), "rows": rows}
    return write_pair(folder, name, data, markdown(report))


def load(path: Path) -> Report:
    """The report in a JSON file, of this release or an earlier one.

    Raises ValueError for a file that is no report, or an empty one.
    """
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot read {path}: {error}; expected a report of `scgrpo eval`"
        ) from error

    data = data if isinstance(data, dict) else {}
    rows = data.get("rows")
    # Earlier releases called the provenance `facts`.
    origin = data.get("provenance", data.get("facts"))
    if not isinstance(rows, list) or not isinstance(origin, dict):
        raise ValueError(
            f"{path} is no report of `scgrpo eval`: it has no provenance and rows"
        )
    if not rows:
        raise ValueError(f"{path} is an empty result: run the evaluation again")
    try:
        return Report([_load_row(row) for row in rows], origin)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a report of this version ({type(error).__name__}: {error}); "
            "evaluate again"
        ) from error


def newest_report(folder: Path) -> Path | None:
    """The report in an evaluation's folder that was written last; None if there is none."""
    paths = list(folder.glob("*.json"))
    return max(
        paths, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None
    )


def _load_row(data: Mapping[str, Any]) -> Row:
    differences = [
        Difference(d["after"], d["before"], load_estimate(d["estimate"]))
        for d in data.get("differences", ())
    ]
    return Row(
        Suite(data["env"], data["level"], data["split"]),
        data.get("tasks", 0),
        data.get("rollouts", 0),
        {label: _load_score(score) for label, score in data.get("scores", {}).items()},
        tuple(differences),
    )


def _load_score(data: Mapping[str, Any]) -> Score:
    """A score of any release: what an earlier one did not count is NaN, 0 or empty."""
    values: dict[str, Any] = {field.name: math.nan for field in fields(Score)}
    values |= {"pass_at": {}, "pass_hat": {}, "stops": {}, "causes": {}}
    values |= {"error": "", "long_prompt": ""}
    values |= {"episodes": 0, "errors": 0}
    for key, value in data.items():
        name = OLD_SCORE_KEYS.get(key, key)
        # A null stays the default, NaN.
        if name in values and value is not None:
            values[name] = value

    values["success"] = load_estimate(data["success"])
    values["pass_at"] = _load_shares(values["pass_at"])
    values["pass_hat"] = _load_shares(values["pass_hat"])
    return Score(**values)


def _load_shares(data: Mapping[str, float | None]) -> dict[int, float]:
    """JSON has text for keys, and null for NaN."""
    shares = {}
    for k, share in data.items():
        shares[int(k)] = math.nan if share is None else share
    return shares


def _title(report: Report) -> str:
    return f"Success with 95 % intervals, {report.provenance['sampling']}"


def _section(row: Row, columns: Sequence[Column]) -> list[list[str]]:
    """A suite as lines of the terminal's table: a column for each model and difference."""
    suite = row.suite
    values = [f"{suite.env} level {suite.level}"]
    intervals = [suite.split]
    for score in row.scores.values():
        shown = rate(score.success)
        values.append(shown.value)
        intervals.append(shown.interval)
    for difference in row.differences:
        shown = gain(difference.estimate)
        word = direction(difference.estimate)
        values.append(shown.value + word)
        intervals.append(shown.interval)

    size = f"{row.tasks} x {row.rollouts}"
    lines = [values, intervals, ["  tasks x rollouts", size]]
    # The other numbers are of models, so the columns of differences stay empty.
    for column in columns:
        texts = [column.text(score) for score in row.scores.values()]
        lines.append([f"  {column.header}", *texts])
    return lines


def _legend(report: Report) -> list[str]:
    lines = [
        "Differences are points of success, paired by task; better or worse is said only if "
        "the interval leaves 0 out.",
        "Intervals take tasks of one family (the same function or template) as one observation "
        "of it. At 0 and 100 % each family counts as one episode.",
        "Errors are episodes that broke without a verdict: no other number counts them. The same "
        "command plays them again.",
    ]
    lines += left_out_notes(report.provenance)
    lines += _incomplete(report)
    estimates = [score.success for row in report.rows for score in row.scores.values()]
    if any(estimate.clustered_by == "task" for estimate in estimates):
        lines.append(FEW_FAMILIES)

    for row in report.rows:
        for label, score in row.scores.items():
            lines += error_notes(label, row.suite, score)
            # An episode may put a whole traceback into its error.
            error = score.error[:300]
            if error:
                lines.append(f"First error of {label} on {row.suite}: {error}")
    return lines


def _incomplete(report: Report) -> list[str]:
    """What is missing, by model, if a limit or a server ended the evaluation."""
    stopped = report.provenance.get("stopped")
    if not stopped:
        return []
    lines = [
        f"Incomplete: {stopped}. The numbers are of the episodes that ended, and short ones end "
        "first. The same command goes on."
    ]
    for label, suites in report.provenance.get("missing", {}).items():
        counts = ", ".join(f"{count} on {suite}" for suite, count in suites.items())
        lines.append(f"Missing episodes of {label}: {counts}.")
    return lines


def _powers(report: Report) -> Table:
    """The table of pass@k (one of k solves) and pass^k (all of k do)."""
    # Every row has the same k: they depend on the rollouts alone.
    first = next(iter(report.rows[0].scores.values()))
    ks = list(first.pass_at)
    header = ["suite", "model"]
    header += [f"pass@{k}" for k in ks]
    header += [f"pass^{k}" for k in ks]

    lines = []
    for row in report.rows:
        for label, score in row.scores.items():
            line = [str(row.suite), label]
            for by_k in (score.pass_at, score.pass_hat):
                line += [number(100 * by_k[k]) for k in ks]
            lines.append(line)
    return Table(header, lines)


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
