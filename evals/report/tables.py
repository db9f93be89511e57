"""A table with sentences under it: on the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from evals.statistics import Estimate
from scgrpo.runs.disk import write_atomically

__all__ = ["Sheet", "interval", "markdown", "show", "write"]

PIPE_WIDTH = 120


@dataclass(frozen=True)
class Sheet:
    """What one command found.

    | field | meaning |
    |---|---|
    | title | the heading |
    | header, lines | the table, as it is read |
    | legend | sentences under it |
    | data | the same numbers unrounded, and how they were made: JSON-able but for NaN |
    """

    title: str
    header: Sequence[str]
    lines: Sequence[Sequence[str]]
    legend: Sequence[str]
    data: Mapping[str, Any]


def show(sheet: Sheet, *, file: Any = None) -> None:
    """Prints it on standard output, or to `file`."""
    console = Console(file=file or sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(sheet.header):
        table.add_column(name, justify="right" if number > 1 else "left")
    before = sheet.lines[0][0] if sheet.lines else ""
    for line in sheet.lines:
        if line[0] != before:
            table.add_section()
        before = line[0]
        table.add_row(*line)
    console.print(sheet.title, markup=False)
    console.print(table)
    for sentence in sheet.legend:
        console.print(sentence, markup=False)


def markdown(sheet: Sheet) -> str:
    """The same as a Markdown page."""
    rows = [sheet.header, ["---"] * len(sheet.header), *sheet.lines]
    grid = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    legend = "\n".join(f"- {sentence}" for sentence in sheet.legend)
    return f"# {sheet.title}\n\n{grid}\n\n{legend}\n"


def write(sheet: Sheet, folder: Path, name: str) -> tuple[Path, Path]:
    """Writes `name.json` and `name.md`, each in one step, and returns their paths.

    Not-a-number is null in the JSON. Raises DiskError.
    """
    paths = folder / f"{name}.json", folder / f"{name}.md"
    texts = (
        json.dumps(_finite(sheet.data), indent=2, allow_nan=False) + "\n",
        markdown(sheet),
    )
    for path, text in zip(paths, texts, strict=True):
        write_atomically(path, text)
    return paths


def interval(
    estimate: Estimate | None, digits: int = 3, *, scale: int = 1, sign: str = ""
) -> str:
    """`0.812 (0.760, 0.864)`; `-` for what is not known; * where tasks are the clusters."""
    if estimate is None or math.isnan(estimate.value):
        return "-"
    value, low, high = (
        "-" if math.isnan(x) else f"{scale * x:{sign}.{digits}f}"
        for x in (estimate.value, estimate.low, estimate.high)
    )
    star = "" if estimate.clustered_by == "family" else "*"
    return f"{value}{star} ({low}, {high})"


def _finite(value: Any) -> Any:
    """The same with None for not-a-number."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
