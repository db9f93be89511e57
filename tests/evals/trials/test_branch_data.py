"""Branched groups on disk, and the table of how well credit agrees with them."""

from dataclasses import replace
from pathlib import Path

from evals.trials.branch_data import BranchRow, branches_tables, read_branches
from evals.trials.data import write_lines
from evals.trials.plan import Cell, TrialPlan

PLAN = TrialPlan(
    cells=("toy_guess/0",),
    methods={"grpo": "algo=grpo", "sc": "algo=sc_grpo"},
    comparisons=("sc - grpo",),
)


def row(task: str, gain: float) -> BranchRow:
    """Two episodes: of the first token one is worth `gain`, of the second nothing is known."""
    return BranchRow(
        cell="toy_guess/0",
        seed=0,
        task=task,
        digest=PLAN.branch_digest(Cell("toy_guess", 0)),
        tokens=[[0, 3], [2]],
        gains=[[[gain, gain], [0.0, 0.0]], [[None, 0.5]]],
        credit={"grpo": [[1.0, 1.0], [-1.0]], "sc": [[1.0, 0.0], [-1.0]]},
    )


def test_rows_are_read_again_and_those_of_another_plan_left_out(tmp_path: Path):
    path = tmp_path / "small.branches.jsonl"
    assert read_branches(PLAN, path) == []
    rows = [row("a", 0.5), row("b", 1.0)]
    write_lines(path, [*rows, replace(rows[0], digest="other")])
    assert read_branches(PLAN, path) == rows
    more = replace(PLAN, methods={**PLAN.methods, "signed": "algo=signed"})
    assert read_branches(more, path) == []


def test_agreement_of_each_method_and_of_declared_differences():
    methods, differences = branches_tables(PLAN, [row("a", 0.5), row("b", 0.5)])
    grpo, sc = methods.lines
    # grpo spreads its credit over two tokens of which one is worth something: 1 / sqrt(2).
    assert grpo == ["toy_guess/0", "0", "grpo", "2", "6", "0.71 (0.71 to 0.71)"]
    assert sc[5] == "1.00 (1.00 to 1.00)"
    assert differences.lines == [
        ["sc - grpo", "toy_guess/0", "0", "+0.29 (+0.29 to +0.29)"]
    ]
    assert all(not table.lines for table in branches_tables(PLAN, []))


def test_groups_of_other_seeds_have_lines_of_their_own():
    plan = replace(PLAN, branches=replace(PLAN.branches, seeds=(0, 1)))
    rows = [row("a", 0.5), replace(row("a", 0.5), seed=1)]
    methods, _ = branches_tables(plan, rows)
    assert [line[1] for line in methods.lines] == ["0", "0", "1", "1"]
    # The rows of a seed are the plan's whichever other seeds it has.
    assert rows[0].digest == plan.branch_digest(Cell("toy_guess", 0))
