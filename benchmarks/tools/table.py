"""The table of all benchmarks: on the terminal, as Markdown, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import Interval, Row
from sandboxes.terminal import plain, terminal
from scgrpo.runs.disk import write_atomically
from scgrpo.runs.markdown import markdown_text

__all__ = ["HEADER", "cells", "markdown", "show", "write"]

HEADER = (
    "benchmark",
    "measure",
    "ours",
    "peer or floor",
    "theirs",
    "ratio (95 %)",
    "goal",
    "cores",
)
PIPE_WIDTH = 200
SWAPPED = " of theirs to ours"


def cells(row: Row) -> list[str]:
    """The row's texts under `HEADER`."""
    unit = row.unit
    theirs = "" if row.theirs is None else f"{_number(row.theirs)} {unit}"
    return [
        row.benchmark,
        row.name,
        f"{_number(row.ours)}{_span(row.ours_interval)} {unit}",
        row.against,
        theirs,
        _ratio(row),
        _goal(row),
        _cores(row),
    ]


def show(rows: Sequence[Row]) -> None:
    """Prints the table on standard output."""
    table = Table(*HEADER)
    before = ""
    for row in rows:
        if row.benchmark != before:
            table.add_section()
        before = row.benchmark
        table.add_row(*map(plain, cells(row)))
    out = terminal()
    if not out.is_terminal:
        out.width = PIPE_WIDTH
    out.print(table)


def markdown(rows: Sequence[Row], origin: Mapping[str, Any]) -> str:
    """The table under a sentence that says when, where and of which commit."""
    machine = origin["machine"]
    about = (
        f"`{origin['command']}`, {origin['date'][:10]}, commit {origin['commit']}, "
        f"{markdown_text(machine['processor'])}, {machine['cores']} cores, "
        f"{machine['torch_threads']} threads, load {machine['load_at_start']} at the start."
    )
    lines = [f"| {' | '.join(HEADER)} |", "|---|---|--:|---|--:|--:|---|--:|"]
    for row in rows:
        texts = [markdown_text(text) for text in cells(row)]
        lines.append(f"| {' | '.join(texts)} |")
    return f"{about}\n\n" + "\n".join(lines) + "\n"


def write(
    folder: Path,
    rows: Sequence[Row],
    origin: Mapping[str, Any],
    faults: Mapping[str, str],
) -> None:
    """Writes `results.json` and `results.md`. Raises DiskError.

    `faults`: benchmark that broke -> its error.
    """
    data = {
        **origin,
        "rows": [{**asdict(row), "goal_met": row.goal_met} for row in rows],
        "faults": dict(faults),
    }
    text = json.dumps(data, indent=1, allow_nan=False)
    write_atomically(folder / "results.json", text + "\n")
    write_atomically(folder / "results.md", markdown(rows, origin))


def _span(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = interval
    return f" ({_number(low)}-{_number(high)})"


def _number(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    swapped = "" if row.quotient == "ours / theirs" else SWAPPED
    return f"{_number(row.ratio)}{_span(row.interval)}{swapped}"


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    unit = f" {row.unit}" if row.goal.quantity == "ours" else ""
    verdict = {True: "met", False: "missed", None: "not measured"}[row.goal_met]
    return f"{row.goal.sign} {row.goal.bound:g}{unit}: {verdict}"


def _cores(row: Row) -> str:
    if row.cores is None:
        return ""
    theirs = "" if row.their_cores is None else f", theirs {row.their_cores:.2f}"
    return f"{row.cores:.2f}{theirs}"
