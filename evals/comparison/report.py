"""A comparison on the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from evals.comparison.results import Result
from evals.comparison.verdicts import LEVEL, Comparison, Tax
from scgrpo.runs.disk import write_atomically

__all__ = ["markdown", "show", "write"]

PIPE_WIDTH = 120
HEADER = (
    "suite",
    "model",
    "compared with",
    "tasks",
    "difference",
    "95 % interval",
    "p (Holm)",
)
TAX_HEADER = ("shift", "model", "compared with", "OOD gain / ID gain", "95 % interval")


def show(
    comparisons: Sequence[Comparison],
    taxes: Sequence[Tax],
    notes: Sequence[str],
    *,
    file: Any = None,
) -> None:
    """Prints tables and legend on standard output, or to `file`."""
    console = Console(file=file or sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(_table((*HEADER, "verdict"), [_line(c) for c in comparisons]))
    if taxes:
        console.print(_table(TAX_HEADER, [_tax_line(tax) for tax in taxes]))
    for sentence in [*_legend(comparisons, taxes), *notes]:
        console.print(sentence, markup=False)


def markdown(
    comparisons: Sequence[Comparison], taxes: Sequence[Tax], notes: Sequence[str]
) -> str:
    """The same as a Markdown page."""
    parts = [
        "# Comparison",
        _grid((*HEADER, "verdict"), [_line(c) for c in comparisons]),
    ]
    if taxes:
        parts += [
            "## Generalisation tax",
            _grid(TAX_HEADER, [_tax_line(tax) for tax in taxes]),
        ]
    parts.append("\n".join(f"- {s}" for s in [*_legend(comparisons, taxes), *notes]))
    return "\n\n".join(parts) + "\n"


def write(
    results: Sequence[Result],
    comparisons: Sequence[Comparison],
    taxes: Sequence[Tax],
    notes: Sequence[str],
    folder: Path,
) -> tuple[Path, Path]:
    """Writes `<labels>.json` and `.md`, and returns their paths. Raises DiskError."""
    name = "-vs-".join(
        "".join(c if c.isalnum() else "-" for c in r.label) for r in results
    )
    data = {
        "results": [
            {"label": r.label, "name": r.name, "report": str(r.report)} for r in results
        ],
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "taxes": [asdict(tax) for tax in taxes],
        "notes": list(notes),
    }
    path, page = folder / f"{name}.json", folder / f"{name}.md"
    write_atomically(path, json.dumps(_finite(data), indent=2, allow_nan=False) + "\n")
    write_atomically(page, markdown(comparisons, taxes, notes))
    return path, page


def _line(comparison: Comparison) -> list[str]:
    test, estimate = comparison.test, comparison.test.estimate
    star = "" if estimate.clustered_by == "family" else "*"
    return [
        str(comparison.cell),
        comparison.after,
        comparison.before,
        str(estimate.tasks),
        f"{_points(estimate.value)}{star}",
        f"{_points(estimate.low)} to {_points(estimate.high)}",
        f"{_p(test.p_value)} ({_p(comparison.adjusted)})",
        comparison.verdict,
    ]


def _tax_line(tax: Tax) -> list[str]:
    unknown = math.isnan(tax.value)
    interval = "unbounded" if unknown else f"{tax.low:.2f} to {tax.high:.2f}"
    value = "not shown" if unknown else f"{tax.value:.2f}"
    return [str(tax.shift), tax.after, tax.before, value, interval]


def _legend(comparisons: Sequence[Comparison], taxes: Sequence[Tax]) -> list[str]:
    counted = sum(not math.isnan(comparison.adjusted) for comparison in comparisons)
    lines = [
        "Differences are points of success, paired by task; tasks of one family are one cluster.",
        f"p in brackets is adjusted for {counted} comparisons (Holm). Better or worse is said only "
        f"where the interval leaves 0 out and the adjusted p is under {LEVEL}.",
    ]
    if any(
        comparison.test.estimate.clustered_by == "task" for comparison in comparisons
    ):
        lines.append(
            "* too few families: the interval is over tasks, and speaks of these alone."
        )
    if left_out := sum(comparison.left_out for comparison in comparisons):
        lines.append(
            f"{left_out} tasks that only one of two results holds are left out."
        )
    if taxes:
        lines.append(
            "OOD gain / ID gain is 1 where all of the gain arrives on the shift (Fieller's "
            "interval); it is not shown where the interval of the ID gain holds 0."
        )
    return lines


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:+.1f}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(*header, box=SIMPLE_HEAD, pad_edge=False)
    for line in lines:
        table.add_row(*line)
    return table


def _grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _finite(value: Any) -> Any:
    """The same with None for not-a-number."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
