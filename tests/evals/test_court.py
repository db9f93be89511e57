"""A whole small trial: it runs once, goes on after a kill, and reports from its data."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evals.court import main
from evals.trials.data import read_rows

PLAN = """\
title: Does it run?
cells: [toy_guess/0]
small: {hidden: 16, layers: 1, heads: 2, vocabulary: 300, copy_steps: 2, episodes: 8, steps: 2,
  tasks_per_step: 1}
settings: >-
  max_steps=2 tasks_per_step=2 group_size=2 limits.turn_tokens=4 limits.episode_tokens=400
  dtype=float32 device=cpu
methods: {grpo: algo=grpo, sc: algo=sc_grpo}
comparisons: [sc - grpo]
seeds: [0, 1]
panel: {tasks: 2, rollouts: 2}
"""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def court(plan: Path, *words: str) -> None:
    main([str(plan), "--runs", str(plan.parent / "runs"), "--workers", "2", *words])


@pytest.mark.slow
@pytest.mark.daily(0)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_trial_runs_once_and_goes_on_after_a_kill(
    plan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ending: signal.Signals,
):
    data = tmp_path / "plan.jsonl"
    court(plan, "--only", "toy_guess/0", "sc", "1")
    (row,) = read_rows(data)
    assert (row.cell, row.method, row.seed, row.stage) == (
        "toy_guess/0",
        "sc",
        1,
        "trial",
    )
    assert row.command == f"scgrpo court {plan} --only toy_guess/0 sc 1"
    assert len(row.curve) == 2
    assert set(row.outcomes) == {"id", "ood/difficulty"}
    assert all(len(passes) == 2 for passes in row.outcomes["id"].passes)

    # Stopped in the middle: what ended is kept.
    command = [sys.executable, "-m", "evals.court", str(plan), "--workers", "1"]
    command += ["--runs", str(tmp_path / "runs")]
    with subprocess.Popen(command, start_new_session=True) as process:
        while len(read_rows(data)) < 2 and process.poll() is None:
            time.sleep(0.2)
        os.kill(process.pid, ending)
    assert process.returncode in (0, 130, -signal.SIGKILL)
    if ending == signal.SIGKILL:
        # Its processes notice within a second.
        time.sleep(3.0)
    assert 2 <= len(read_rows(data)) <= 4

    court(plan)
    rows = read_rows(data)
    assert sorted((r.method, r.seed) for r in rows) == [
        ("grpo", 0),
        ("grpo", 1),
        ("sc", 0),
        ("sc", 1),
    ]
    assert "4 of 4 runs." in capsys.readouterr().out
    assert not [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]

    # Nothing is left to run.
    court(plan)
    assert read_rows(data) == rows


@pytest.mark.slow
@pytest.mark.daily(0)
def test_credit_is_held_against_branches(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    branches = "branches: {tasks: 8, groups: 2, continuations: 2, certain: 0.99}"
    # Taught so far that some of its episodes succeed.
    taught = PLAN.replace("hidden: 16, layers: 1", "hidden: 64, layers: 2").replace(
        "episodes: 8, steps: 2,\n  tasks_per_step: 1",
        "episodes: 96, steps: 120,\n  tasks_per_step: 9, lr: 3.0e-3",
    )
    plan.write_text(taught + branches + "\n")
    court(plan, "--branches")
    table = "Declared comparisons of agreement"
    assert table in capsys.readouterr().out
    data = tmp_path / "plan.branches.jsonl"
    rows = data.read_text()
    assert 1 <= len(rows.splitlines()) <= 2

    # From the data alone, and no cell is played twice.
    court(plan, "--report")
    assert table in capsys.readouterr().out
    court(plan, "--branches")
    assert data.read_text() == rows


def test_a_plan_says_what_it_costs_and_runs_nothing(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    court(plan, "--plan")
    out = capsys.readouterr()
    assert "2 methods, 1 cells, 2 seeds: 4 runs, 0 done" in out.out + out.err
    assert not (tmp_path / "plan.jsonl").exists()
    assert not (tmp_path / "plan.model").exists()


def test_a_run_that_the_plan_has_not_is_refused(
    plan: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        court(plan, "--only", "toy_guess/0", "dapo", "0")
    assert end.value.code == 2
    assert "the plan has no run `toy_guess/0 dapo 0`" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.daily(1)
def test_gaps_of_the_start_are_measured_once(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    text = plan.read_text().replace("[toy_guess/0]", "[toy_guess/0, toy_guess/1]")
    plan.write_text(text)
    court(plan, "--gaps")
    saved = (tmp_path / "plan.gaps.jsonl").read_text()
    rows = [json.loads(line) for line in saved.splitlines()]
    assert [(row["cell"], row["reference"]) for row in rows] == [
        (cell, reference)
        for cell in ("toy_guess/0", "toy_guess/1")
        for reference in ("own", "other")
    ]
    assert all(row["tasks"] for row in rows)
    assert "another task's" in capsys.readouterr().out

    court(plan, "--gaps")
    assert (tmp_path / "plan.gaps.jsonl").read_text() == saved
