"""The tables are made from rows alone, and say what is missing."""

from dataclasses import replace
from pathlib import Path

from evals.trials.data import Outcomes
from evals.trials.plan import TrialPlan
from evals.trials.report import trial_report, write_report
from tests.evals.trials.rows import trial_row

PLAN = TrialPlan(
    title="Which?",
    cells=("toy_guess/0", "math_word/0"),
    methods={"new": "algo=sc_grpo", "old": "algo=grpo", "third": "algo=dapo"},
    comparisons=("new - old", "new - third"),
    seeds=(0, 1, 2),
)
GAINS = {0: 0.2, 1: 0.3, 2: 0.1}
ROWS = [
    trial_row(cell, method, seed, 0.5 + gain * (method == "new"))
    for cell in PLAN.cells
    for seed, gain in GAINS.items()
    for method in ("new", "old")
]


def test_a_declared_comparison_is_over_all_cells_and_in_each():
    # No run was made again, so that table is not there.
    methods, differences, weights = trial_report(PLAN, ROWS).tables
    assert [line[:3] for line in differences.lines] == [
        ["new - old", "all cells", "3"],
        ["new - old", "toy_guess/0", "3"],
        ["new - old", "math_word/0", "3"],
    ]
    # 0.2, 0.3 and 0.1 by seed: 20 +- 4.3027 * 10 / sqrt(3) points.
    pooled = differences.lines[0]
    assert pooled[3] == "+20.0 (-4.8 to +44.8)"
    # 0.2 / (0.1 / sqrt(3)) on 2 degrees; the other comparison has no runs to test.
    assert pooled[-1] == "0.074"
    assert differences.lines[1][-1] == "-"
    assert [line[:3] for line in methods.lines][:2] == [
        ["toy_guess/0", "new", "3"],
        ["toy_guess/0", "old", "3"],
    ]
    assert weights.lines[0][2].startswith("0.75")


def test_only_the_tables_that_are_there_are_explained():
    legend = " ".join(trial_report(PLAN, ROWS).legend)
    assert "p is Holm's" in legend
    assert "Agreement" not in legend
    assert "Gap" not in legend
    assert "Made from runs of" in legend


def test_a_second_run_is_held_against_the_first_ones_interval():
    rows = [*ROWS]
    for seed, gain in GAINS.items():
        rows.append(
            trial_row("toy_guess/0", "new", 1000 + seed, 0.5 + gain, stage="again")
        )
        rows.append(trial_row("toy_guess/0", "old", 1000 + seed, 0.1, stage="again"))
    again, all_seeds = trial_report(PLAN, rows).tables[-2:]
    assert [(line[1], line[4], line[5]) for line in again.lines] == [
        ("new", "yes", "91%"),
        ("old", "no", "91%"),
    ]
    assert again.lines[0][6] == "+0.0 (-22.7 to +22.7)"
    # By seed 20, 30, 10 and then 60, 70, 50 points: 40 +- 2.5706 * 23.66 / sqrt(6); `third` was
    # not made again.
    assert [line[:3] for line in all_seeds.lines] == [["new - old", "toy_guess/0", "6"]]
    assert all_seeds.lines[0][3] == "+40.0 (+15.2 to +64.8)"


def test_a_split_without_a_verdict_is_left_out_and_named():
    rows = [
        replace(
            row, outcomes={**row.outcomes, "ood/long": Outcomes(["a"], ["a"], ["--"])}
        )
        for row in ROWS
    ]
    before, after = trial_report(PLAN, ROWS), trial_report(PLAN, rows)
    assert [table.lines for table in after.tables] == [
        table.lines for table in before.tables
    ]
    assert any("ood/long" in sentence for sentence in after.legend)
    assert not any("Left out" in sentence for sentence in before.legend)


def test_the_report_says_how_much_is_missing_and_lies_beside_the_data(tmp_path: Path):
    report = write_report(PLAN, ROWS, [], [], tmp_path / "which.jsonl")
    assert report.legend[0].startswith("12 of 18 runs.")
    assert {p.name for p in tmp_path.iterdir()} == {
        "which.json",
        "which.md",
        "which.svg",
    }
    assert "2026-11-29 012345678" in (tmp_path / "which.md").read_text()


def test_a_trial_without_any_run_has_a_report(tmp_path: Path):
    report = write_report(PLAN, [], [], [], tmp_path / "which.jsonl")
    assert report.legend[0].startswith("0 of 18 runs.")
    assert not (tmp_path / "which.svg").exists()


def test_a_cell_that_has_one_seed_yet_is_not_pooled():
    rows = [row for row in ROWS if row.cell == "toy_guess/0" or row.seed == 0]
    _, differences, _ = trial_report(PLAN, rows).tables
    pooled, toy, math = differences.lines
    assert pooled[1:3] == ["all cells", "3"]
    assert pooled[3] == toy[3]
    assert math[1:4] == ["math_word/0", "1", "+20.0"]
