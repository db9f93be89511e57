"""The command plays each condition once, says its cost first, and goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from envs import registry
from envs.identity import identity
from evals import run as evaluation
from evals.gap import main
from evals.gaps import conditions
from evals.gaps.command import CONTROLS
from scgrpo.models.sources.digest import weights_digest
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.gaps import find_gap

CHOSEN = ["--model", "model", "--envs", "toy_guess", "--levels", "0", "--tasks", "4"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("m") / "model", hidden=16, layers=1, heads=2
    )


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(model, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_controls_of_the_command_line_are_those_that_are_played():
    assert tuple(conditions.CONTROLS) == CONTROLS


def test_the_command_says_its_cost_plays_and_goes_on(here, capsys):
    # Its episodes without a reference are an evaluation's.
    evaluation.main([*CHOSEN, "--rollouts", "1"])
    capsys.readouterr()
    main(CHOSEN)
    captured = capsys.readouterr()
    assert captured.err.startswith(
        "cost: at most 20 episodes (4 tasks x 1 x 5 conditions"
    )
    assert "episodes: 16 to play, 4 on disk" in captured.err
    assert "Gap with and without a reference" in captured.out

    (path,) = (here / "runs" / "evals" / "gap").glob("*.json")
    data = json.loads(path.read_text())
    assert [row["reference"] for row in data["rows"]] == ["none", "own", *CONTROLS]
    assert data["rows"][1]["gap"]["tasks"] == 4
    assert data["divergence"][0]["tokens"] > 0
    assert data["divergence"][0]["credit/d_p99"] > 0
    assert data["provenance"]["command"] == f"scgrpo gap {' '.join(CHOSEN)}"
    # `train` finds it.
    about = identity(registry.make("toy_guess"))
    weights = {weights_digest(here / "model")}
    gap = find_gap(here / "runs", about, 0, weights)
    assert gap is not None
    assert gap.tasks == 4
    assert not gap.is_shown

    main([*CHOSEN, "--json"])
    captured = capsys.readouterr()
    assert "episodes: 0 to play, 20 on disk" in captured.err
    again = json.loads(captured.out)
    assert again["rows"] == data["rows"]
    assert again["divergence"] == data["divergence"]


def test_controls_can_be_left_out(here, capsys):
    main([*CHOSEN, "--controls"])
    assert (
        "8 episodes (4 tasks x 1 x 2 conditions: none, own)" in capsys.readouterr().err
    )


def test_a_budget_ends_it_with_what_was_played_on_disk(here, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*CHOSEN, "--max-tokens", "1"])
    assert stopped.value.code == 3
    captured = capsys.readouterr()
    assert "Incomplete: " in captured.out
    (path,) = (here / "runs" / "evals" / "gap").glob("*.json")
    assert json.loads(path.read_text())["gaps"] == []


def test_a_model_without_room_for_a_reference_is_refused(here, capsys):
    path = here / "model" / "config.json"
    config = json.loads(path.read_text())
    config["max_position_embeddings"] = 700
    path.write_text(json.dumps(config))
    with pytest.raises(SystemExit) as stopped:
        main(CHOSEN)
    assert stopped.value.code == 2
    assert "beyond the 700 positions" in capsys.readouterr().err
