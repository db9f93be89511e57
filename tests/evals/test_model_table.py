"""Every family of models goes through check, training and evaluation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evals.evaluation import model_trials
from evals.evaluation.model_trials import CRASH, Trial, try_family
from evals.model_table import main, page
from scgrpo.models.families import FAMILIES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.daily(len(FAMILIES) // 6 + 1)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_checked_trained_and_evaluated(name: str, tmp_path: Path):
    trial = try_family(name, tmp_path)
    assert trial.outcomes == ("no problem", "2 steps", "3 episodes")
    assert trial.about["path"] in ("packed", "plain")
    assert trial.about["gap"] <= 1e-4


def test_the_page_has_a_row_of_each_family_and_none_failed():
    rows: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / "models.md").read_text().splitlines():
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[cells[0]] = cells
    assert len(FAMILIES) >= 28
    for name, family in FAMILIES.items():
        assert rows[name][1:3] == [family.config, family.template or "ChatML"]
        assert rows[name][-2:] == ["2 steps", "3 episodes"]


def test_a_row_holds_what_the_commands_said(tmp_path: Path):
    trial = try_family("llama", tmp_path)
    assert trial.outcomes == ("no problem", "2 steps", "3 episodes")
    text = page([trial])
    row = next(line for line in text.splitlines() if line.startswith("| llama |"))
    assert row.startswith(
        "| llama | LlamaConfig | llama3_1 | JSON | does not think | yes |"
    )
    assert row.endswith("| 2 steps | 3 episodes |")
    assert re.search(r"^Made on \d{4}-\d\d-\d\d with transformers [\d.]+", text, re.M)


def test_a_failure_is_a_sentence_and_a_crash_is_said_to_be_one(tmp_path, monkeypatch):
    monkeypatch.setattr(model_trials, "TRAINING", ("algo=nothing",))
    trial = try_family("qwen3", tmp_path)
    assert trial.training.startswith("scgrpo train: unknown algo")
    assert trial.evaluation == "nothing to evaluate"

    def broken(words):
        raise KeyError("layers")

    monkeypatch.setattr(model_trials.cli, "main", broken)
    trial = try_family("qwen3", tmp_path / "again")
    assert trial.training == f"{CRASH}: KeyError: 'layers'"
    assert trial.about == {}


def test_the_command_ends_with_1_for_a_crash_and_2_for_another_name(
    monkeypatch, capsys
):
    crash = Trial("llama", {}, "no problem", f"{CRASH}: KeyError: 'x'", "")
    monkeypatch.setattr(model_trials, "try_family", lambda name, folder: crash)
    for words, code in (["llama"], 1), (["lama"], 2):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == code
    printed = capsys.readouterr()
    assert f"| {CRASH}: KeyError: 'x' |" in printed.out
    assert "unknown family 'lama'; expected one of llama" in printed.err
