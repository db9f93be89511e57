"""One table: the same texts on the terminal and in Markdown, the same numbers in JSON."""

import json
from pathlib import Path

import pytest

from benchmarks import Goal, Row
from benchmarks.tools.curves import curves
from benchmarks.tools.machine import provenance
from benchmarks.tools.table import HEADER, cells, show, write

ROOT = Path(__file__).resolve().parents[3]
STEP = Row(
    "decode",
    "a step",
    "ms",
    ours=60,
    ours_interval=(58, 63),
    against="floor",
    theirs=30,
    ratio=2.0,
    interval=(1.9, 2.25),
    goal=Goal("<=", 55, "ours"),
    cores=1.5,
)
EXEC = Row(
    "sandbox",
    "run code",
    "ms",
    ours=4,
    against="docker exec",
    theirs=80,
    quotient="theirs / ours",
    ratio=20.0,
    goal=Goal(">=", 20),
    cores=0.5,
    their_cores=0.25,
)


def test_the_texts_of_a_row():
    assert cells(STEP) == [
        *("decode", "a step", "60 (58-63) ms", "floor", "30 ms"),
        *("2 (1.9-2.25)", "<= 55 ms: missed", "1.50"),
    ]
    assert cells(EXEC)[4:] == [
        *("80 ms", "20 of theirs to ours", ">= 20: met", "0.50, theirs 0.25")
    ]
    plain = cells(Row("b", "n", "ms", ours=1234.56))
    assert plain == ["b", "n", "1235 ms", "", "", "", "", ""]


def test_the_terminal_shows_every_column_and_row(capsys: pytest.CaptureFixture[str]):
    show([STEP, EXEC])
    text = capsys.readouterr().out
    for word in (*HEADER, "a step", "run code", "<= 55 ms: missed"):
        assert word in text


def test_the_files_hold_numbers_origin_and_what_broke(tmp_path: Path):
    origin = {"command": "scgrpo bench", **provenance(ROOT)}
    write(tmp_path, [STEP, EXEC], origin, {"rollout": "OSError: no"})
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["command"] == "scgrpo bench"
    assert data["date"]
    assert data["machine"]["cores"] >= 1
    assert data["machine"]["torch_threads"] >= 1
    assert data["libraries"]["torch"]
    assert data["faults"] == {"rollout": "OSError: no"}
    assert [row["goal_met"] for row in data["rows"]] == [False, True]
    assert data["rows"][0]["interval"] == [1.9, 2.25]
    page = (tmp_path / "results.md").read_text()
    assert page.startswith("`scgrpo bench`, 2")
    assert f"commit {data['commit']}" in page
    assert "| 60 (58-63) ms | floor | 30 ms |" in page


def test_rows_with_a_place_are_drawn_as_a_panel_for_each_curve():
    rows = []
    for curve in ("group size", "turns"):
        for x in (4, 8):
            row = Row("scaling", "n", "ms", x, (x - 1, x + 1), place=(curve, x))
            rows.append(row)
    svg = curves(rows)
    assert svg.startswith("<svg")
    assert "group size" in svg
    assert "turns" in svg
    assert curves([STEP]) == ""
