"""The report as a reader sees it, and as a program does."""

from __future__ import annotations

import io
import json
import math
import subprocess
from dataclasses import replace

import pytest

from evals.evaluation.suites import Suite
from evals.report.errors import error_notes, warning
from evals.report.report import Report, load, markdown, show, write
from evals.report.scores import Difference, Row, Score
from evals.statistics import Estimate
from scgrpo.runs.disk import DiskError

SUITE = Suite("swe_lite", 0, "ood/domain")


def score(
    value, low, high, *, by="family", errors=0, error="", causes=None, bound=math.nan
):
    success = Estimate(value, low, high, 50, 100, 18, by)
    pass_at = {1: value, 2: math.nan}
    numbers = (0.031, 4.44, 90.0, 1.5, {}, 3.6, 0.02, causes or {}, bound)
    return Score(success, pass_at, pass_at, 100, errors, error, *numbers)


def report(**options) -> Report:
    better = Estimate(0.2, 0.1, 0.3, 50, 200, 18, "family")
    unclear = Estimate(-0.01, -0.1, 0.08, 50, 200, 18, "family")
    row = Row(
        SUITE,
        50,
        2,
        {
            "base": score(0.0, 0.0, 0.146),
            "warm-started": score(0.21, 0.15, 0.28),
            "trained": score(0.2, 0.14, 0.27, **options),
        },
        (
            Difference("trained", "warm-started", unclear),
            Difference("trained", "base", better),
        ),
    )
    return Report(
        [row], {"sampling": "sampled at temperature 1", "seed": 0, "run": None}
    )


def shown(of: Report) -> list[str]:
    """The lines, with single spaces."""
    file = io.StringIO()
    show(of, file=file)
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


def test_the_table_has_a_column_for_each_model_and_difference():
    lines = shown(report())
    assert "swe_lite level 0 0.0 % 21.0 % 20.0 % -1.0 +20.0 better" in lines
    interval = "ood/domain 0.0-14.6 15.0-28.0 14.0-27.0 -10.0 to +8.0 +10.0 to +30.0"
    assert interval in lines
    assert "tasks x rollouts 50 x 2" in lines
    assert "episodes 100 100 100" in lines
    assert "malformed turns 3 % 3 % 3 %" in lines
    assert "mean turns 4.4 4.4 4.4" in lines
    assert "mean tool calls 3.6 3.6 3.6" in lines
    assert "mean tokens 90 90 90" in lines
    assert "turns cut at the limit 2 % 2 % 2 %" in lines
    assert "mean seconds 1.5 1.5 1.5" in lines
    assert not any("Incomplete" in line for line in lines)


def test_what_is_missing_of_a_stopped_evaluation_is_said():
    made = report()
    missing = {"trained": {"swe_lite level 0 ood/domain": 7}}
    origin = {
        **made.provenance,
        "stopped": "--max-minutes 5 are over",
        "missing": missing,
    }
    page = markdown(Report(made.rows, origin))
    assert (
        "- Incomplete: --max-minutes 5 are over. The numbers are of the episodes"
        in page
    )
    assert "- Missing episodes of trained: 7 on swe_lite level 0 ood/domain." in page


def test_errors_are_counted_and_the_first_is_named():
    text = "SandboxError: [red]no box[/red]"
    lines = shown(report(errors=3, error=text))
    assert "errors 0 0 3" in lines
    assert f"First error of trained on swe_lite level 0 ood/domain: {text}" in lines


def test_errors_are_listed_by_cause_and_a_cause_of_many_bends_the_rate():
    causes = {"ENOSPC": 4, "KeyError": 2}
    page = markdown(report(errors=5, causes=causes, bound=0.18))
    lines = [line.removeprefix("- ") for line in page.splitlines()]
    on = "trained on swe_lite level 0 ood/domain"
    assert (
        f"Errored episodes of {on}: ENOSPC 4, KeyError 2, of 105. For 1 of these 6 a later try "
        "counts."
    ) in lines
    (line,) = (line for line in lines if line.startswith("Warning"))
    assert line.startswith(
        f"Warning: of 105 episodes of {on} many errored: 3.8 % by ENOSPC. "
    )
    assert line.endswith(
        "With all 6 errored episodes as failures success is 18.0 %, not 20.0 %."
    )
    text = " ".join(shown(report(errors=5, causes=causes, bound=0.18)))
    assert line in text


@pytest.mark.parametrize(
    ("episodes", "count", "warned"),
    [(100, 3, True), (10, 2, False), (150, 3, False), (149, 3, True), (1000, 21, True)],
)
def test_a_cause_is_many_from_three_episodes_and_over_two_per_cent(
    episodes, count, warned
):
    half = replace(
        score(0.5, 0.4, 0.6, errors=count, causes={"ENOSPC": count}),
        episodes=episodes - count,
    )
    line = warning("x", SUITE, half)
    assert bool(line) == warned
    assert not warned or line.endswith("as failures success is unknown, not 50.0 %.")


def test_a_report_without_errors_says_nothing_of_causes():
    assert not any("Errored" in line or "Warning" in line for line in shown(report()))


def test_a_report_of_an_earlier_release_is_read_and_says_nothing_of_causes(tmp_path):
    success = {"value": 0.5, "low": None, "high": 0.75}
    old = {"success": success, "episodes": 5, "errors": 5, "error": "KeyError: 'x'"}
    old |= {"cut": 0.25, "pass_at": {"1": 0.5, "2": None}}
    row = {"env": "toy", "level": 0, "split": "id", "tasks": 2, "rollouts": 5}
    row |= {"scores": {"x": old}, "differences": []}
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"facts": {"sampling": "greedy"}, "rows": [row]}))
    report = load(path)
    assert report.provenance == {"sampling": "greedy"}
    (row,) = report.rows
    assert (row.suite, row.tasks, row.rollouts) == (Suite("toy", 0, "id"), 2, 5)
    read = row.scores["x"]
    assert (read.success.value, read.success.high, read.truncated) == (0.5, 0.75, 0.25)
    assert math.isnan(read.success.low)
    assert math.isnan(read.tool_calls)
    assert (read.errors, read.pass_at[1], read.causes) == (5, 0.5, {})
    assert error_notes("x", row.suite, read) == []


def test_a_written_report_is_read_back(tmp_path):
    made = report(causes={"ENOSPC": 3}, bound=0.19)
    path, _ = write(made, tmp_path, "x")
    assert markdown(load(path)) == markdown(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "expected a report of `scgrpo eval`"),
        ("{}", "it has no provenance and rows"),
        ('{"facts": {}, "rows": []}', "is an empty result: run the evaluation again"),
        ('{"facts": {}, "rows": [{}]}', "is not a report of this version"),
    ],
)
def test_a_file_that_is_no_report_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{path}.*{message}"):
        load(path)


def test_an_interval_over_tasks_is_marked():
    assert not any("20.0 %*" in line for line in shown(report()))
    lines = shown(report(by="task"))
    assert any("20.0 %*" in line for line in lines)
    assert any(line.startswith("* under 5 families") for line in lines)


def test_markdown_holds_the_same_numbers_on_one_line_a_cell():
    page = markdown(report())
    assert (
        "| swe_lite level 0 ood/domain | 0.0 % (0.0-14.6) | 21.0 % (15.0-28.0) | "
        "20.0 % (14.0-27.0) | -1.0 (-10.0 to +8.0) | +20.0 better (+10.0 to +30.0) | 50 x 2 | "
        "100 | 0 | 3 % | 4.4 | 3.6 | 90 | 2 % | 1.5 |"
    ) in page
    assert "| swe_lite level 0 ood/domain | trained | 20.0 | - | 20.0 | - |" in page
    assert "- seed: 0" in page


def test_json_holds_every_number_and_null_for_none(tmp_path):
    made = report(causes={"ENOSPC": 3}, bound=0.19)
    path, page = write(made, tmp_path / "evals", "x")
    data = json.loads(path.read_text())
    assert data["provenance"] == {
        "sampling": "sampled at temperature 1",
        "seed": 0,
        "run": None,
    }
    (row,) = data["rows"]
    assert (row["env"], row["level"], row["split"]) == ("swe_lite", 0, "ood/domain")
    assert row["scores"]["trained"]["success"]["high"] == 0.27
    assert row["scores"]["trained"]["pass_at"] == {"1": 0.2, "2": None}
    assert row["scores"]["trained"]["causes"] == {"ENOSPC": 3}
    assert row["scores"]["trained"]["success_bound"] == 0.19
    assert row["scores"]["base"]["success_bound"] is None
    assert row["differences"][1]["estimate"]["clustered_by"] == "family"
    assert page.read_text() == markdown(made)
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.json", "x.md"]


def test_a_full_disk_says_so_and_leaves_the_old_report(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        (tmp_path / "x.json").write_text("old")
        (tmp_path / "ballast").write_bytes(bytes(10_000))
        with pytest.raises(DiskError, match="the disk is full: free some"):
            write(report(), tmp_path, "x")
        assert (tmp_path / "x.json").read_text() == "old"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["ballast", "x.json"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
