"""All runs of a folder in a table: numbers by hand, and what is broken is said."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from envs.rollout import Limits
from envs.store import write_episodes
from envs.types import Episode, Segment, Stop, Task, Verdict
from evals.evaluation.suites import Suite
from evals.history.prices import load_prices
from evals.history.records import Tokens, differing_settings, read_run
from evals.report.report import Report, write
from evals.report.scores import compare
from evals.runs import main
from scgrpo.config import TrainConfig
from scgrpo.settings import parse as settings

SUITE = Suite("toy_guess", 0, "id")
OTHER = Suite("toy_guess", 0, "ood/difficulty")


def episode(task: int, *, passed: bool) -> Episode:
    """Four tokens read, two written."""
    return Episode(
        task=Task(f"id/0/{task}", "id", 0, f"f{task}", "p", {}),
        messages=(),
        tools=(),
        segments=(
            Segment("prompt", "p", (5, 6, 7)),
            Segment("policy", "1", (8, 2), (-0.5, -0.5)),
            Segment("env", "no", (9,)),
        ),
        stop=Stop.FINISHED,
        verdict=Verdict(passed, float(passed)),
    )


def add_report(run: Path, name: str, solved: int, *, suites=(SUITE,)) -> Path:
    """Ten tasks of which the base model solves none and the trained one `solved`."""
    groups = {
        "base": [[episode(i, passed=False)] for i in range(10)],
        "trained": [[episode(i, passed=i < solved)] for i in range(10)],
    }
    tasks = [episode.task for (episode,) in groups["base"]]
    rows = [compare(suite, tasks, groups, 1) for suite in suites]
    path, _ = write(Report(rows, {"sampling": "greedy"}), run / "evals", name)
    return path


def make_run(folder: Path, **changes) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    config = TrainConfig(name=folder.name, limits=Limits(turn_tokens=8))
    settings.save(replace(config, **changes), folder / "config.yaml")
    rows = [
        {"step": 1, "episodes/success": 0.25, "episodes/count": 16},
        {"step": 2, "episodes/success": 0.75, "episodes/count": 8},
    ]
    about = {"episodes/tokens": 30.0, "episodes/written": 10.0}
    about |= {"time/rollout_s": 1000.0, "time/update_s": 800.0}
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(row | about) + "\n" for row in rows)
    )
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two runs: one with an evaluation of two suites, one without."""
    folder = tmp_path / "runs"
    first = make_run(folder / "first", lr=1e-4)
    os.utime(first, (1, 1))
    add_report(first, "old", 2, suites=(SUITE, OTHER))
    os.utime(first / "evals" / "old.json", (1, 1))
    add_report(first, "new", 6)
    episodes = [episode(i, passed=True) for i in range(5)]
    write_episodes(first / "evals" / "episodes" / "trained.jsonl", episodes)
    os.utime(first, (1, 1))
    make_run(folder / "second", algo="grpo")
    (folder / "latest").symlink_to("second")
    return folder


def test_a_record_by_hand(root):
    record = read_run(root / "first")
    assert (record.steps, record.hours, record.in_training) == (2, 1.0, 0.5)
    # 24 episodes of 30 tokens, of which 10 are written.
    assert record.training == Tokens(read=480, written=240)
    assert record.evaluation == Tokens(read=20, written=10)
    newest, older = record.suites
    assert (newest.suite, newest.label, newest.success.value) == (SUITE, "trained", 0.6)
    assert newest.gain is not None
    assert newest.gain.value == 0.6
    assert newest.report.name == "new.json"
    assert (older.suite, older.success.value, older.report.name) == (
        OTHER,
        0.2,
        "old.json",
    )
    assert record.notes == ()


def test_only_settings_that_differ_are_shown(root, capsys):
    records = [read_run(root / name) for name in ("first", "second")]
    # Their names differ too, but the table has these.
    assert differing_settings(records) == ["algo", "lr"]
    main([str(root)])
    out = " ".join(capsys.readouterr().out.split())
    assert "algo=sc_grpo lr=0.0001" in out
    assert "60.0 % (26" in out
    assert "+60.0" in out
    assert "50.0 %" in out
    assert out.index("first") < out.index("second")


def test_the_csv_has_a_whole_line_for_each_run_and_suite(root, capsys):
    main([str(root), "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["run"], row["split"]) for row in rows] == [
        ("first", "id"),
        ("first", "ood/difficulty"),
        ("second", ""),
    ]
    assert [row["lr"] for row in rows] == ["0.0001", "0.0001", "3e-05"]
    assert [row["training_tokens_read"] for row in rows] == ["480"] * 3
    assert float(rows[0]["success"]) == 0.6
    assert float(rows[0]["success_low"]) < 0.6 < float(rows[0]["success_high"])
    assert rows[2]["success"] == rows[0]["cost"] == ""


def test_the_json_has_the_hash_of_each_file_that_it_rests_on(root, capsys):
    main([str(root), "--format", "json"])
    data = json.loads(capsys.readouterr().out)
    first, second = data["runs"]
    assert first["settings"]["limits.turn_tokens"] == 8
    assert first["suites"][0]["success"]["value"] == 0.6
    assert second["suites"] == []
    files = {Path(path).relative_to(root).as_posix() for path in data["sources"]}
    assert files == {
        f"{run}/{file}"
        for run in ("first", "second")
        for file in ("config.yaml", "metrics.jsonl")
    } | {"first/evals/new.json", "first/evals/old.json"}
    for path, digest in data["sources"].items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest


def test_prices_make_costs_of_hours_and_tokens(root, tmp_path, capsys):
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: EUR\nhour: 2\nread: 1000\nwritten: 10000\n")
    main([str(root), "--format", "json", "--prices", str(prices)])
    first, second = json.loads(capsys.readouterr().out)["runs"]
    # 1 hour; 500 and 250 tokens with those of the evaluation.
    assert first["cost"] == pytest.approx(2 + 0.5 + 2.5)
    assert second["cost"] == pytest.approx(2 + 0.48 + 2.4)
    main([str(root), "--prices", str(prices)])
    out = capsys.readouterr().out
    assert "EUR" in out
    assert "5.00" in out


def test_a_model_may_have_a_price_of_its_own(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('{"hour": 2, "models": {"big": {"hour": 8, "written": 1}}}')
    prices = load_prices(path)
    assert (prices.of("big").hour, prices.of("small").hour) == (8.0, 2.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 1", "is no price list"),
        ("our: 1", "expected currency, hour"),
        ("hour: -1", "hour: -1, expected 0 or more"),
        ("hour: much", "hour: 'much', expected 0 or more"),
        ("models: [a]", "models="),
        ("models: {a: 3}", "models: a: got 3"),
        ("hour: [", "cannot read the prices"),
    ],
)
def test_a_wrong_price_list_is_refused_before_anything_is_read(tmp_path, text, says):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        load_prices(path)


def test_what_is_broken_in_a_run_is_said_and_the_others_are_shown(root, capsys):
    (root / "first" / "config.yaml").write_text("no_such_setting: 1\n")
    (root / "first" / "evals" / "new.json").write_text("{}")
    (root / "second" / "metrics.jsonl").write_text("torn\n{}\n")
    main([str(root)])
    out = " ".join(capsys.readouterr().out.split())
    assert "first cannot be read" in out
    assert "new.json is no report of `scgrpo eval`" in out
    assert "metrics.jsonl, line 1: not JSON" in out
    # The older report has the suite too.
    assert "20.0 %" in out


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path)])
    assert stopped.value.code == 2
    assert "is no run and holds none" in capsys.readouterr().err


def test_a_run_may_be_named_itself_and_counts_once(root, capsys):
    main([str(root / "first"), str(root), "--format", "json"])
    names = [run["name"] for run in json.loads(capsys.readouterr().out)["runs"]]
    assert names == ["first", "second"]
