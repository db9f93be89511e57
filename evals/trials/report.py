"""A trial's tables and figure, made from its rows alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from evals.comparison.verdicts import holm
from evals.report.tables import Table, TableReport, show, write
from evals.trials.branch_data import BranchRow, branches_tables
from evals.trials.data import TrialRow
from evals.trials.figure import figure
from evals.trials.gaps import CellGap, gap_tables
from evals.trials.plan import Shard, TrialPlan
from evals.trials.statistics import (
    ASSUMED_DEVIATION,
    Difference,
    SeedMean,
    detectable,
    difference,
    measures,
    replication_chance,
    seed_mean,
    unpaired_difference,
)
from scgrpo.runs.disk import write_atomically

__all__ = ["show_plan", "trial_report", "write_report"]

PRIMARY = "id avg@k"
"""The measure that the declared comparisons are tested on."""
ALL_CELLS = "all cells"
UNKNOWN = "-"
CHOICE = "choice weight"
"""AUROC of the weight on the choice among the options of a turn."""

logger = logging.getLogger(__name__)


def show_plan(
    plan: TrialPlan, rows: Sequence[TrialRow], missing: Sequence[Shard] = ()
) -> None:
    """Logs what is left to run, how long it takes, and what it can show."""
    total = len(plan.cells) * len(plan.methods) * len(plan.seeds)
    done = sum(row.stage == "trial" for row in rows)
    logger.info(
        "trial: %d methods, %d cells, %d seeds: %d runs, %d done",
        len(plan.methods),
        len(plan.cells),
        len(plan.seeds),
        total,
        done,
    )
    if rows:
        seconds = float(np.mean([row.seconds for row in rows]))
        left = len(missing) or total - done
        logger.info(
            "cost: %.0f s a run, %.1f core hours left", seconds, left * seconds / 3600
        )
    deviations = _deviations(plan, rows)
    deviation = float(np.mean(deviations)) if deviations else ASSUMED_DEVIATION
    logger.info(
        "power: %d seeds show a difference of %.1f points four times in five, if seeds differ by "
        "%.1f points (%s)",
        len(plan.seeds),
        100 * detectable(len(plan.seeds), deviation),
        100 * deviation,
        "measured" if deviations else "assumed",
    )


def write_report(
    plan: TrialPlan,
    rows: Sequence[TrialRow],
    branches: Sequence[BranchRow],
    gaps: Sequence[CellGap],
    data: Path,
) -> TableReport:
    """Prints the report and writes it next to the data: JSON, Markdown and an SVG figure."""
    report = trial_report(plan, rows, branches, gaps)
    show(report)
    name = data.stem
    paths = [*write(report, data.parent, name)]
    if drawing := figure(plan, rows):
        path = data.with_suffix(".svg")
        write_atomically(path, drawing)
        paths.append(path)
    logger.info("report: %s", ", ".join(map(str, paths)))
    return report


def trial_report(
    plan: TrialPlan,
    rows: Sequence[TrialRow],
    branches: Sequence[BranchRow] = (),
    gaps: Sequence[CellGap] = (),
) -> TableReport:
    """All tables of the rows, which are of the plan."""
    trial = [row for row in rows if row.stage == "trial"]
    differences = _differences(plan, trial)
    shards = list(plan.shards())
    complete = sum(any(row.is_of(shard) for row in trial) for shard in shards)

    sections = _sections(plan, rows, branches, gaps, differences)
    filled = [table for tables, _ in sections for table in tables if table.lines]
    legend = [f"{complete} of {len(shards)} runs."]
    legend += [
        text for tables, text in sections if any(table.lines for table in tables)
    ]
    data = {
        "plan": asdict(plan),
        "differences": [asdict(each) for each in differences],
        "runs": complete,
        "planned": len(shards),
    }
    return TableReport(
        plan.title or "Trial", filled, [*legend, *_origins(plan, rows)], data
    )


def _sections(
    plan: TrialPlan,
    rows: Sequence[TrialRow],
    branches: Sequence[BranchRow],
    gaps: Sequence[CellGap],
    differences: Sequence[Difference],
) -> list[tuple[list[Table], str]]:
    """Tables, and the sentence that says how to read them."""
    trial = [row for row in rows if row.stage == "trial"]
    return [
        (
            [_methods_table(plan, trial)],
            "avg@k is the mean success of k episodes of each panel task, pass@k the share of tasks "
            "that one of them solves, area the mean success of the training episodes. Means over "
            "seeds with 95 % t intervals; per cent and points.",
        ),
        (
            [_differences_table(plan, differences)],
            "A difference is paired by seed; a seed counts if both methods have a run of it in "
            f"each cell of the line; {ALL_CELLS} are those with several seeds. p is Holm's over "
            f"the declared comparisons, on {PRIMARY} of {ALL_CELLS}.",
        ),
        (
            [_weights_table(plan, trial)],
            "AUROC: chance that a deciding token has more weight than another one of its episode; "
            "0.5 is blind. Step: mean of advantage times weight by case of the references.",
        ),
        (
            branches_tables(plan, branches),
            "Agreement: cosine, over the tokens that could have been others, between what a "
            "method's gradient multiplies them with and their advantage, the policy's success from "
            "behind them less that from before them; 95 % jackknife intervals over groups.",
        ),
        (
            gap_tables(plan, gaps, trial),
            "Gap: success of the starting model on unseen `id` tasks with a reference in front, "
            "less that without. Points gained for each point of gap: slope of the least squares "
            "line through the cells, with its 95 % t interval.",
        ),
        (
            [_again_table(plan, rows), _all_seeds_table(plan, rows)],
            "A cell made again has other seeds; within: its mean lies in the first runs' interval. "
            "The chance of that is of runs that differ by their seeds alone. second - first has "
            "Welch's 95 % interval. Over the seeds of both, differences are paired as above, and "
            "none is tested: the first runs had been looked at.",
        ),
    ]


def _origins(plan: TrialPlan, rows: Sequence[TrialRow]) -> list[str]:
    """When and of what code the runs are, and which of their splits have no verdict."""
    dates = sorted({f"{row.date} {row.commit[:9]}" for row in rows})
    sentences = [f"Made from runs of: {', '.join(dates) or 'none yet'}."]
    for cell in plan.cells:
        codes = {row.code for row in rows if row.cell == cell}
        if len(codes) > 1:
            sentences.append(
                f"The runs of {cell} are of {len(codes)} states of its environment's code."
            )
        errored = sorted(
            {
                split
                for row in rows
                if row.cell == cell
                for split, outcomes in row.outcomes.items()
                if not outcomes.has_verdict()
            }
        )
        if errored:
            sentences.append(
                f"Left out of {cell}: {', '.join(errored)}, no episode of which has a verdict in "
                "some run; a prompt may be longer than an episode may be."
            )
    return sentences


def _methods_table(plan: TrialPlan, rows: Sequence[TrialRow]) -> Table:
    header = ("cell", "method", "seeds", "lr", *measures())
    lines: list[list[str]] = []
    for cell in plan.cells:
        for method in plan.methods:
            of_method = [r for r in rows if r.cell == cell and r.method == method]
            if not of_method:
                continue
            line = [cell, method, str(len(of_method)), f"{of_method[0].lr:g}"]
            for measure in measures().values():
                values = [v for row in of_method if (v := measure(row)) is not None]
                line.append(_percent(seed_mean(values)) if values else UNKNOWN)
            lines.append(line)
    return Table(header, lines, title="Methods")


def _differences(plan: TrialPlan, rows: Sequence[TrialRow]) -> list[Difference]:
    """Of every declared comparison: over all cells with several seeds first, then by cell."""
    differences: list[Difference] = []
    seeds = {
        cell: {row.seed for row in rows if row.cell == cell} for cell in plan.cells
    }
    repeated = [cell for cell in plan.cells if len(seeds[cell]) > 1]
    groups = {ALL_CELLS: repeated, **{cell: [cell] for cell in plan.cells}}
    for comparison in plan.comparisons:
        after, before = plan.sides(comparison)
        for label, cells in groups.items():
            for name, measure in measures().items():
                mean = difference(rows, after, before, cells, measure)
                if mean is not None:
                    differences.append(Difference(after, before, name, label, mean))
    return differences


def _differences_table(plan: TrialPlan, differences: Sequence[Difference]) -> Table:
    header = ("comparison", "cell", "seeds", *measures(), "p (Holm)")
    tested = [
        each
        for each in differences
        if each.cell == ALL_CELLS
        and each.measure == PRIMARY
        and not math.isnan(each.mean.p_value)
    ]
    adjusted = holm([each.mean.p_value for each in tested])
    p_values = {
        (each.after, each.before): p for each, p in zip(tested, adjusted, strict=True)
    }
    lines: dict[tuple[str, str, str], list[str]] = {}
    for each in differences:
        key = (each.after, each.before, each.cell)
        name = f"{each.after} - {each.before}"
        line = lines.setdefault(key, [name, each.cell, str(each.mean.seeds)])
        line.append(_percent(each.mean, sign="+"))
    for (after, before, cell), line in lines.items():
        p = p_values.get((after, before)) if cell == ALL_CELLS else None
        line.append(UNKNOWN if p is None else f"{p:.3f}")
    return Table(header, list(lines.values()), title="Declared comparisons")


def _weights_table(plan: TrialPlan, rows: Sequence[TrialRow]) -> Table:
    """Where each method's weight falls, and how large its steps are by case."""
    cases = sorted({case for row in rows for case in row.step_size})
    header = ("cell", "method", "AUROC choice", *(f"step {case}" for case in cases))
    lines: list[list[str]] = []
    for cell in plan.cells:
        for method in plan.methods:
            of_method = [r for r in rows if r.cell == cell and r.method == method]
            measured = [r.auroc for r in of_method if CHOICE in r.auroc]
            if not of_method:
                continue
            line = [cell, method, _plain([auroc[CHOICE] for auroc in measured])]
            for case in cases:
                sizes = [r.step_size[case] for r in of_method if case in r.step_size]
                line.append(_plain(sizes))
            lines.append(line)
    return Table(header, lines, title="Where the weight falls")


def _again_table(plan: TrialPlan, rows: Sequence[TrialRow]) -> Table:
    """Second runs of cells, and whether their mean is within the first ones' interval."""
    header = (
        "cell",
        "method",
        "first",
        "second",
        "within",
        "chance of within",
        "second - first",
    )
    lines: list[list[str]] = []
    measure = measures()[PRIMARY]
    for cell in plan.cells:
        for method in plan.methods:
            first, second = (
                [
                    value
                    for row in rows
                    if (row.cell, row.method, row.stage) == (cell, method, stage)
                    and (value := measure(row)) is not None
                ]
                for stage in ("trial", "again")
            )
            if first and second:
                before, after = seed_mean(first), seed_mean(second)
                within = "yes" if before.covers(after.value) else "no"
                chance = replication_chance(before.seeds, after.seeds)
                change = unpaired_difference(second, first)
                lines.append(
                    [
                        cell,
                        method,
                        _percent(before),
                        _percent(after),
                        within,
                        f"{chance:.0%}",
                        _percent(change, sign="+"),
                    ]
                )
    return Table(header, lines, title="Made again with other seeds")


def _all_seeds_table(plan: TrialPlan, rows: Sequence[TrialRow]) -> Table:
    """The declared differences in cells both of whose methods were made again, over all seeds."""
    header = ("comparison", "cell", "seeds", *measures())
    again = {(row.cell, row.method) for row in rows if row.stage == "again"}
    # A seed of either stage is one observation.
    both = [replace(row, stage="trial") for row in rows if row.stage != "tune"]
    lines: list[list[str]] = []
    for comparison in plan.comparisons:
        sides = plan.sides(comparison)
        for cell in plan.cells:
            if not {(cell, side) for side in sides} <= again:
                continue
            means = [
                difference(both, *sides, [cell], measure)
                for measure in measures().values()
            ]
            seeds = max(mean.seeds for mean in means if mean)
            values = [_percent(mean, sign="+") if mean else UNKNOWN for mean in means]
            lines.append([comparison, cell, str(seeds), *values])
    return Table(header, lines, title="Declared comparisons over the seeds of both")


def _deviations(plan: TrialPlan, rows: Sequence[TrialRow]) -> list[float]:
    """Standard deviation between seeds of every declared difference that has two."""
    deviations: list[float] = []
    for comparison in plan.comparisons:
        after, before = plan.sides(comparison)
        for cell in plan.cells:
            mean = difference(rows, after, before, [cell], measures()[PRIMARY])
            if mean is not None and mean.seeds > 1:
                deviations.append(mean.deviation)
    return deviations


def _percent(mean: SeedMean, *, sign: str = "") -> str:
    value = f"{100 * mean.value:{sign}.1f}"
    if math.isnan(mean.low):
        return value
    return f"{value} ({100 * mean.low:{sign}.1f} to {100 * mean.high:{sign}.1f})"


def _plain(values: Sequence[float]) -> str:
    if not values:
        return UNKNOWN
    mean = seed_mean(values)
    if math.isnan(mean.low):
        return f"{mean.value:.2f}"
    return f"{mean.value:.2f} ({mean.low:.2f} to {mean.high:.2f})"
