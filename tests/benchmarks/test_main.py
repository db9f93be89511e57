"""The command runs what it is told, and keeps what was measured when something breaks."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import Row
from benchmarks.__main__ import main, names


def rows_of(name: str):
    """A benchmark whose only row has the number of rounds as its value."""
    return SimpleNamespace(main=lambda rounds: [Row(name, "n", "ms", rounds or 7)])


def broken(rounds: int | None) -> list[Row]:
    raise OSError("no engine")


def test_the_benchmarks_are_the_modules_of_the_folder():
    expected = {"decode", "evals", "rollout", "sandbox", "scaling", "trl_step"}
    assert expected < set(names())


def test_one_that_breaks_leaves_the_others_numbers(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "benchmarks.rollout", rows_of("rollout"))
    monkeypatch.setitem(sys.modules, "benchmarks.sandbox", SimpleNamespace(main=broken))
    monkeypatch.setitem(sys.modules, "benchmarks.trainer", rows_of("trainer"))
    chosen = ["rollout", "sandbox", "trainer", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        main([*chosen, "--rounds", "2"])
    assert stop.value.code == 1
    data = json.loads((tmp_path / "results.json").read_text())
    assert [(row["benchmark"], row["ours"]) for row in data["rows"]] == [
        *(("rollout", 2), ("trainer", 2))
    ]
    assert data["faults"] == {"sandbox": "OSError: no engine"}
    assert "sandbox broke: OSError: no engine" in capsys.readouterr().err


def test_without_a_number_of_rounds_each_takes_its_own(monkeypatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "benchmarks.rollout", rows_of("rollout"))
    main(["rollout", "--out", str(tmp_path)])
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["rows"][0]["ours"] == 7
    assert data["command"].startswith("scgrpo bench rollout --out ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["rolout"], "got rolout, expected names of decode"),
        (["rollout", "--rounds", "0"], "got --rounds 0, expected at least 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, problem, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert problem in capsys.readouterr().err
