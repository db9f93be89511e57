"""How far the model that a trial starts from reads references, and what a method gains by it.

A rule that weighs tokens by a reference can help only as far as the model reads it. So the gap of
every cell is measured once, and held against what each method gained there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from evals.evaluation.provenance import commit
from evals.gaps.command import parse, run
from evals.report.tables import UNKNOWN, Table, finite
from evals.statistics import t_quantile
from evals.trials.data import TrialRow, read_lines
from evals.trials.plan import Cell, Shard, TrialPlan
from evals.trials.start import starting_model
from evals.trials.statistics import difference, measures

__all__ = [
    "CellGap",
    "Slope",
    "gap_tables",
    "measure_gaps",
    "read_gaps",
    "slope",
]

TASKS = 200
"""Unseen tasks of `id`, one episode each with and without a reference."""
FEWEST_CELLS = 3
"""A line through two cells has no interval."""


@dataclass(frozen=True)
class CellGap:
    """Success of a cell's starting model with a reference less that without, paired by task.

    | field | meaning |
    |---|---|
    | reference | `own`: verified, of the task itself; `other`: another task's |
    | digest | of what the plan declares of the cell's start |
    | plain | success without a reference |
    | value, low, high | the gap with its 95 % interval; None with one family of tasks |
    """

    cell: str
    reference: str
    digest: str
    plain: float
    value: float
    low: float | None
    high: float | None
    tasks: int
    commit: str = ""
    date: str = ""


@dataclass(frozen=True)
class Slope:
    """Of the least squares line of gains on gaps, with its 95 % t interval over cells."""

    value: float
    low: float
    high: float
    cells: int


def measure_gaps(
    path: Path, plan: TrialPlan, cell: Cell, folder: Path
) -> list[CellGap]:
    """The gaps of a cell of the plan in the file `path`: of its own references and of others'.

    Episodes are kept in `folder`: cut off, the same call goes on where it stopped.
    """
    start = starting_model(path, plan, cell)
    limits = plan.config(Shard(cell, next(iter(plan.methods)), 0)).limits
    words = ["--model", str(start), "--envs", cell.env, "--levels", str(cell.level)]
    words += ["--tasks", str(TASKS), "--rollouts", "1", "--controls", "other"]
    words += ["--turn-tokens", str(limits.turn_tokens)]
    words += ["--episode-tokens", str(limits.episode_tokens), "--out", str(folder)]

    report = run(parse(words), words)
    plain, *conditions = finite(report.data["rows"])
    return [
        CellGap(
            cell=str(cell),
            reference=row["reference"],
            digest=plan.start_digest(cell),
            plain=plain["success"]["value"],
            value=row["gap"]["value"],
            low=row["gap"]["low"],
            high=row["gap"]["high"],
            tasks=row["gap"]["tasks"],
            commit=commit() or "",
            date=time.strftime("%Y-%m-%d", time.gmtime()),
        )
        for row in conditions
    ]


def read_gaps(plan: TrialPlan, path: Path) -> list[CellGap]:
    """The rows of a file that are the plan's; none if there is no file."""
    digests = {cell: plan.start_digest(Cell.of(cell)) for cell in plan.cells}
    rows = read_lines(path, CellGap)
    return [row for row in rows if digests.get(row.cell) == row.digest]


def slope(gaps: Sequence[float], gains: Sequence[float]) -> Slope:
    """The gain for each point of gap. (N,), (N,). Raises ValueError for fewer than 3 cells."""
    if len(gaps) < FEWEST_CELLS:
        raise ValueError(f"got {len(gaps)} cells, expected at least {FEWEST_CELLS}")
    value, _, _, _, error = map(float, stats.linregress(gaps, gains))
    half = t_quantile(len(gaps) - 2) * error
    return Slope(value, value - half, value + half, len(gaps))


def gap_tables(
    plan: TrialPlan, gaps: Sequence[CellGap], rows: Sequence[TrialRow]
) -> list[Table]:
    """The gap of each cell, and the slope of each declared gain on it."""
    return [_gaps_table(plan, gaps), _slopes_table(plan, gaps, rows)]


def _gaps_table(plan: TrialPlan, gaps: Sequence[CellGap]) -> Table:
    lines: list[list[str]] = []
    for cell in plan.cells:
        of_cell = {each.reference: each for each in gaps if each.cell == cell}
        if own := of_cell.get("own"):
            line = [cell, str(own.tasks), f"{100 * own.plain:.1f}", _points(own)]
            line.append(_points(of_cell["other"]) if "other" in of_cell else UNKNOWN)
            lines.append(line)
    header = ("cell", "tasks", "plain", "own reference", "another task's")
    return Table(header, lines, title="Gap of the starting model")


def _slopes_table(
    plan: TrialPlan, gaps: Sequence[CellGap], rows: Sequence[TrialRow]
) -> Table:
    own = {each.cell: each.value for each in gaps if each.reference == "own"}
    lines: list[list[str]] = []
    for comparison in plan.comparisons:
        after, before = plan.sides(comparison)
        line = [comparison]
        cells = 0
        for measure in measures().values():
            gains = {
                cell: mean.value
                for cell in own
                if (mean := difference(rows, after, before, [cell], measure))
            }
            if len(gains) < FEWEST_CELLS:
                continue
            fit = slope([own[cell] for cell in gains], list(gains.values()))
            line.append(f"{fit.value:+.2f} ({fit.low:+.2f} to {fit.high:+.2f})")
            cells = fit.cells
        if cells:
            lines.append([line[0], str(cells), *line[1:]])
    header = ("comparison", "cells", *measures())
    return Table(header, lines, title="Points gained for each point of gap")


def _points(each: CellGap) -> str:
    value = f"{100 * each.value:+.1f}"
    if each.low is None or each.high is None:
        return value
    return f"{value} ({100 * each.low:+.1f} to {100 * each.high:+.1f})"
