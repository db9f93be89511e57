"""Rows are appended whole, read back equal, and left out if they are of other settings."""

from pathlib import Path

import pytest

from evals.trials.data import append_row, read_rows, rows_of
from evals.trials.plan import Cell, Shard, TrialPlan
from tests.evals.trials.rows import trial_row


def test_what_is_appended_is_read_back(tmp_path: Path):
    path = tmp_path / "data" / "plan.jsonl"
    rows = [trial_row("a/0", "new", seed, 0.5) for seed in range(3)]
    for row in rows:
        append_row(path, row)
    assert read_rows(path) == rows
    assert read_rows(tmp_path / "absent.jsonl") == []


def test_a_torn_line_is_named(tmp_path: Path):
    path = tmp_path / "plan.jsonl"
    append_row(path, trial_row("a/0", "new", 0, 0.5))
    path.write_text(path.read_text() + path.read_text()[:50])
    with pytest.raises(ValueError, match=r"plan.jsonl line 2 is no row of a trial"):
        read_rows(path)


def test_rows_of_other_settings_are_left_out(tmp_path: Path):
    plan = TrialPlan(cells=("toy_guess/0",), methods={"grpo": "algo=grpo"})
    digest = plan.digest(Shard(Cell("toy_guess", 0), "grpo", 0, 1e-3))
    path = tmp_path / "plan.jsonl"
    own = trial_row("toy_guess/0", "grpo", 0, 0.5, digest=digest)
    append_row(path, own)
    append_row(path, trial_row("toy_guess/0", "grpo", 0, 0.5, digest="other"))
    append_row(path, trial_row("toy_guess/0", "renamed", 0, 0.5, digest=digest))
    append_row(path, trial_row("toy_guess/1", "grpo", 0, 0.5, digest=digest))
    assert rows_of(plan, path) == [own]
