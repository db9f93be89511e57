"""Where training starts: scripts and models, cell by cell, kept as they end."""

from __future__ import annotations

import json
import os

import pytest

from envs.toy.guess import ToyGuess
from evals.baselines import main
from evals.evaluation import baseline_rows
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.lock import only_writer
from tests.evals.evaluation.test_budgets import ENV


def measured(out, *arguments):
    main(["--envs", "toy_guess", "--out", str(out), *arguments])
    lines = (out / "starting-points.json").read_text().splitlines()
    return {
        (row["level"], row["split"], row["policy"]): row
        for row in map(json.loads, lines)
    }


def test_random_play_is_at_chance_and_the_oracle_always_wins(tmp_path):
    rows = measured(tmp_path, "--no-model", "--random", "900", "--oracle", "30")
    env = ToyGuess()
    for level in env.levels:
        found = rows[level, "train", "random"]
        assert found["low"] - 0.05 < env.chance(level) < found["high"] + 0.05
        assert rows[level, "id", "oracle"]["value"] == 1.0
    page = (tmp_path / "starting-points.md").read_text()
    assert "| 0 | `train` | " in page


def test_the_model_is_measured_before_and_after_its_warm_start(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    tiny = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    sizes = (
        "--random",
        "0",
        "--oracle",
        "0",
        "--tasks",
        "2",
        "--rollouts",
        "2",
        "--levels",
        "0",
    )
    rows = measured(tmp_path, *sizes, "--model", str(tiny))
    assert {(policy, row["episodes"]) for (_, _, policy), row in rows.items()} == {
        ("model", 4),
        ("warm-started", 4),
    }


def test_what_was_measured_is_not_measured_again(tmp_path, capsys):
    measured(tmp_path, "--no-model", "--random", "10", "--oracle", "0")
    capsys.readouterr()
    measured(tmp_path, "--no-model", "--random", "10", "--oracle", "0")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("change", ["code", "episodes", "earlier release"])
def test_what_was_measured_otherwise_is_measured_again(
    change, tmp_path, capsys, monkeypatch
):
    measured(tmp_path, "--no-model", "--random", "10", "--oracle", "0")
    before = (tmp_path / "starting-points.json").read_text().splitlines()
    capsys.readouterr()
    if change == "code":
        monkeypatch.setattr(baseline_rows, "rollout_digest", lambda env: "new code")
    if change == "earlier release":
        rows = [json.loads(line) for line in before]
        texts = [json.dumps({**row, "digest": ""}) + "\n" for row in rows]
        (tmp_path / "starting-points.json").write_text("".join(texts))
    count = "20" if change == "episodes" else "10"
    measured(tmp_path, "--no-model", "--random", count, "--oracle", "0")
    after = (tmp_path / "starting-points.json").read_text().splitlines()
    assert len(after) == len(before) == len(capsys.readouterr().out.splitlines())


def test_two_processes_do_not_measure_into_one_folder(tmp_path, capsys):
    with only_writer(tmp_path, ""), pytest.raises(SystemExit, match="2"):
        measured(tmp_path, "--no-model", "--random", "10", "--oracle", "0")
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err


def test_a_file_of_another_kind_is_refused(tmp_path, capsys):
    (tmp_path / "starting-points.json").write_text("not ours\n")
    with pytest.raises(SystemExit, match="2"):
        measured(tmp_path, "--no-model")
    assert "remove it" in capsys.readouterr().err


def test_prompts_beyond_the_budget_are_told_and_no_failure(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    model = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    words = f"--envs {ENV} --levels 1 --random 0 --oracle 0 --tasks 1 --rollouts 2"
    main([*words.split(), "--out", str(tmp_path), "--model", str(model)])
    assert "level 1 id, model: -, 2 prompts too long, " in capsys.readouterr().out
    row = json.loads((tmp_path / "starting-points.json").read_text().splitlines()[0])
    assert (row["value"], row["errors"], row["prompts_too_long"]) == (None, 0, 2)


def test_a_model_of_fewer_positions_is_refused(tmp_path, capsys):
    model = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    config = model / "config.json"
    about = json.loads(config.read_text()) | {"max_position_embeddings": 64}
    config.write_text(json.dumps(about))
    with pytest.raises(SystemExit, match="2"):
        measured(tmp_path, "--model", str(model))
    assert "64 positions" in capsys.readouterr().err
