"""Gaps of a trial's cells on disk, their table, and what a method gains for each point of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from evals.trials.data import write_lines
from evals.trials.gaps import CellGap, gap_tables, read_gaps, slope
from evals.trials.plan import Cell, TrialPlan
from tests.evals.trials.rows import trial_row

PLAN = TrialPlan(
    cells=("toy_guess/0", "math_word/0", "tool_store/0"),
    methods={"new": "algo=sc_grpo", "old": "algo=grpo"},
    comparisons=("new - old",),
    seeds=(0,),
)


def gap(cell: str, value: float, reference: str = "own") -> CellGap:
    return CellGap(
        cell=cell,
        reference=reference,
        digest=PLAN.start_digest(Cell.of(cell)),
        plain=0.25,
        value=value,
        low=value - 0.05,
        high=value + 0.05,
        tasks=200,
    )


def test_rows_are_read_again_and_those_of_another_start_left_out(tmp_path: Path):
    path = tmp_path / "small.gaps.jsonl"
    assert read_gaps(PLAN, path) == []
    rows = [gap("toy_guess/0", 0.3), gap("toy_guess/0", 0.0, "other")]
    write_lines(path, [*rows, replace(rows[0], digest="other")])
    assert read_gaps(PLAN, path) == rows
    # Methods start from the same model; other limits play it otherwise.
    more = replace(PLAN, methods={**PLAN.methods, "signed": "algo=signed"})
    assert read_gaps(more, path) == rows
    shorter = replace(PLAN, settings="limits.turn_tokens=8")
    assert read_gaps(shorter, path) == []


def test_a_slope_and_its_interval_are_those_of_least_squares():
    # By hand: Sxx .05, Sxy .03, residuals -.01, .03, -.03 and .01 on two degrees of freedom, whose
    # t is 4.302653.
    gaps, gains = [0.1, 0.2, 0.3, 0.4], [0.0, 0.1, 0.1, 0.2]
    line = slope(gaps, gains)
    half = 4.302653 * (0.001 / 0.05) ** 0.5
    assert (line.value, line.cells) == (pytest.approx(0.6), 4)
    assert (line.low, line.high) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-6)
    with pytest.raises(ValueError, match="got 2 cells, expected at least 3"):
        slope(gaps[:2], gains[:2])


def test_what_is_gained_is_held_against_the_gap_of_three_cells():
    gaps = [gap(cell, 0.1 * (i + 1)) for i, cell in enumerate(PLAN.cells)]
    gaps.append(gap("toy_guess/0", -0.01, "other"))
    rows = [
        trial_row(cell, method, 0, 0.2 + 0.1 * i * (method == "new"))
        for i, cell in enumerate(PLAN.cells)
        for method in PLAN.methods
    ]
    table, slopes = gap_tables(PLAN, gaps, rows)
    assert table.lines[0] == [
        "toy_guess/0",
        "200",
        "25.0",
        "+10.0 (+5.0 to +15.0)",
        "-1.0 (-6.0 to +4.0)",
    ]
    # Gains of 0, 10 and 20 points where the gap is 10, 20 and 30.
    ((comparison, cells, gain, *_),) = slopes.lines
    assert (comparison, cells, gain) == ("new - old", "3", "+1.00 (+1.00 to +1.00)")

    # Two cells say nothing of a line.
    two = [row for row in rows if row.cell != "tool_store/0"]
    assert gap_tables(PLAN, gaps, two)[1].lines == []
