"""How every report prints numbers and tables: on the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from evals.statistics import MIN_FAMILIES, Estimate
from sandboxes.terminal import plain, terminal
from scgrpo.runs.disk import sha256_of, write_atomically
from scgrpo.runs.markdown import markdown_text

__all__ = [
    "FEW_FAMILIES",
    "UNKNOWN",
    "Interval",
    "Table",
    "TableReport",
    "bullets",
    "console",
    "direction",
    "finite",
    "fraction",
    "gain",
    "grid",
    "load_estimate",
    "number",
    "rate",
    "show",
    "source_hashes",
    "terminal_table",
    "write",
    "write_pair",
]

PIPE_WIDTH = 120
UNKNOWN = "-"
FEW_FAMILIES = (
    f"* under {MIN_FAMILIES} families, so the interval is over tasks: it holds for these "
    "families alone."
)


@dataclass(frozen=True)
class Interval:
    """An estimate as text: its value, and its 95 % interval."""

    value: str
    interval: str

    def __str__(self) -> str:
        return UNKNOWN if self == NO_INTERVAL else f"{self.value} ({self.interval})"


NO_INTERVAL = Interval(UNKNOWN, UNKNOWN)


@dataclass(frozen=True)
class Table:
    """A table; `title` is its heading if a report has several."""

    header: Sequence[str]
    lines: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True)
class TableReport:
    """The result of a command: tables with sentences under them.

    | field | meaning |
    |---|---|
    | title | the heading |
    | tables | as they are read |
    | legend | sentences under them |
    | data | the same numbers unrounded, and how they were made: JSON-able but for NaN |
    | sources | files that the numbers rest on: their SHA-256 is written with them |
    """

    title: str
    tables: Sequence[Table]
    legend: Sequence[str]
    data: Mapping[str, Any]
    sources: Sequence[Path] = ()


def rate(estimate: Estimate) -> Interval:
    """A share in per cent: `20.0 %` and `14.0-27.0`; * if tasks are the clusters."""
    if math.isnan(estimate.value):
        return NO_INTERVAL
    value, low, high = _numbers(estimate, 100, digits=1)
    star = _star(estimate)
    return Interval(f"{value} %{star}", f"{low}-{high}")


def gain(estimate: Estimate) -> Interval:
    """A difference in points: `+6.0` and `-1.0 to +13.0`; * if tasks are the clusters."""
    if math.isnan(estimate.value):
        return NO_INTERVAL
    value, low, high = _numbers(estimate, 100, digits=1, sign="+")
    star = _star(estimate)
    return Interval(f"{value}{star}", f"{low} to {high}")


def direction(estimate: Estimate) -> str:
    """` better` or ` worse` if the interval leaves 0 out, else empty."""
    if estimate.low > 0:
        return " better"
    return " worse" if estimate.high < 0 else ""


def fraction(estimate: Estimate | None, *, sign: str = "") -> str:
    """`0.812 (0.760, 0.864)`; `-` if it is not known; * if tasks are the clusters."""
    if estimate is None or math.isnan(estimate.value):
        return UNKNOWN
    value, low, high = _numbers(estimate, 1, digits=3, sign=sign)
    star = _star(estimate)
    return f"{value}{star} ({low}, {high})"


def _numbers(
    estimate: Estimate, scale: int, *, digits: int, sign: str = ""
) -> tuple[str, str, str]:
    """Value, low and high as text."""
    value = number(scale * estimate.value, digits, sign=sign)
    low = number(scale * estimate.low, digits, sign=sign)
    high = number(scale * estimate.high, digits, sign=sign)
    return value, low, high


def _star(estimate: Estimate) -> str:
    return "" if estimate.clustered_by == "family" else "*"


def number(value: float, digits: int = 1, *, sign: str = "") -> str:
    """The number; `-` for NaN, and no sign before a rounded 0."""
    if math.isnan(value):
        return UNKNOWN
    text = f"{value:{sign}.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def finite(value: Any) -> Any:
    """The same for JSON: None for NaN and infinity, and text for the keys."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def load_estimate(data: Mapping[str, Any]) -> Estimate:
    """An estimate as JSON holds it; what is null or missing there is NaN or 0."""
    numbers = {}
    for name in ("value", "low", "high"):
        number = data.get(name)
        numbers[name] = math.nan if number is None else number
    return Estimate(
        **numbers,
        tasks=data.get("tasks", 0),
        episodes=data.get("episodes", 0),
        clusters=data.get("clusters", 0),
        clustered_by=data.get("clustered_by", "family"),
    )


def console(file: Any = None) -> Console:
    """Standard output, or `file`; wide enough for tables if it is a pipe."""
    opened = terminal(file or sys.stdout)
    if not opened.is_terminal:
        opened.width = PIPE_WIDTH
    return opened


def terminal_table(table: Table, *, text_columns: int = 2) -> RichTable:
    """The table for a terminal: numbers to the right, a rule where the first column changes."""
    shown = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(table.header):
        justify = "left" if place < text_columns else "right"
        shown.add_column(plain(name), justify=justify, overflow="fold")
    before = table.lines[0][0] if table.lines else ""
    for line in table.lines:
        if line[0] != before:
            shown.add_section()
        before = line[0]
        shown.add_row(*map(plain, line))
    return shown


def grid(table: Table) -> str:
    """The table in Markdown."""
    rule = ["---"] * len(table.header)
    rows = [
        [markdown_text(cell) for cell in row] for row in (table.header, *table.lines)
    ]
    rows.insert(1, rule)
    lines = [" | ".join(row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def bullets(sentences: Sequence[str]) -> str:
    """The sentences as a list in Markdown."""
    return "\n".join(f"- {markdown_text(sentence)}" for sentence in sentences)


def show(report: TableReport, *, file: Any = None) -> None:
    """Prints it on standard output, or to `file`."""
    out = console(file)
    out.print(report.title)
    for table in report.tables:
        if table.title:
            out.print(plain(table.title))
        out.print(terminal_table(table))
    for sentence in report.legend:
        out.print(sentence)


def write(report: TableReport, folder: Path, name: str) -> tuple[Path, Path]:
    """Writes `name.json` and `name.md`, and returns their paths. Raises DiskError."""
    parts = [f"# {markdown_text(report.title)}"]
    for table in report.tables:
        if table.title:
            parts.append(f"## {markdown_text(table.title)}")
        parts.append(grid(table))
    parts.append(bullets(report.legend))
    data = {**report.data, "sources": source_hashes(report.sources)}
    return write_pair(folder, name, data, "\n\n".join(parts) + "\n")


def source_hashes(paths: Iterable[Path]) -> dict[str, str]:
    """Path -> hex SHA-256 of a file that numbers rest on: whoever has it can tell if it is that."""
    return {str(path): sha256_of(path) for path in dict.fromkeys(paths)}


def write_pair(
    folder: Path, name: str, data: Mapping[str, Any], page: str
) -> tuple[Path, Path]:
    """Writes `name.json` and `name.md`, each in one step, and returns their paths.

    Not-a-number is null in the JSON. Raises DiskError.
    """
    text = json.dumps(finite(data), indent=2, allow_nan=False, default=str)
    paths = folder / f"{name}.json", folder / f"{name}.md"
    write_atomically(paths[0], text + "\n")
    write_atomically(paths[1], page)
    return paths
