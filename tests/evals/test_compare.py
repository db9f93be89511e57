"""Comparisons against scipy and textbook numbers, and the command on real evaluations."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.rollout import Limits
from envs.store import read_episodes, write_episodes
from envs.toy.guess import ToyGuess
from envs.types import Episode, Segment, Stop, Verdict
from evals.compare import main
from evals.comparison.report import file_name
from evals.comparison.results import load_result
from evals.comparison.verdicts import fieller, holm, verdict
from evals.evaluation.models import EvaluatedModel, EvaluatedModels
from evals.evaluation.plan import Evaluation
from evals.evaluation.suites import Suite
from evals.report import report
from evals.report.scores import compare
from evals.report.tables import Table, TableReport, show
from evals.statistics import Estimate, PairedTest, paired_t_test
from scgrpo.config import TrainConfig


def solved(rates, rollouts=20):
    """(N, K) outcomes whose means are the rates."""
    rows = [
        [1.0] * round(r * rollouts) + [0.0] * (rollouts - round(r * rollouts))
        for r in rates
    ]
    return np.array(rows)


def difference(value, error, freedom=1e9):
    half = 1.95996 * error
    estimate = Estimate(value, value - half, value + half, 50, 100, 50, "family")
    return PairedTest(estimate, error, freedom, 0.0)


def test_with_a_family_for_each_task_it_is_the_paired_t_test():
    stats = pytest.importorskip("scipy.stats", reason="scipy is the independent check")
    rng = np.random.default_rng(0)
    before, after = solved(rng.random(12) * 0.8), solved(rng.random(12))
    test = paired_t_test(before, after, [str(i) for i in range(12)])
    expected = stats.ttest_rel(after.mean(axis=1), before.mean(axis=1))
    interval = expected.confidence_interval(0.95)
    assert test.p_value == pytest.approx(expected.pvalue, abs=1e-6)
    assert test.estimate.low == pytest.approx(interval.low, abs=1e-4)
    assert test.estimate.high == pytest.approx(interval.high, abs=1e-4)


def test_families_of_one_size_are_the_t_test_of_their_means():
    stats = pytest.importorskip("scipy.stats", reason="scipy is the independent check")
    rng = np.random.default_rng(1)
    before, after = solved(rng.random(24) * 0.5), solved(rng.random(24))
    test = paired_t_test(before, after, [str(i // 4) for i in range(24)])
    means = (after.mean(axis=1) - before.mean(axis=1)).reshape(6, 4).mean(axis=1)
    expected = stats.ttest_1samp(means, 0.0)
    assert test.p_value == pytest.approx(expected.pvalue, abs=1e-6)
    assert test.estimate.low == pytest.approx(
        expected.confidence_interval(0.95).low, abs=1e-4
    )


def test_holm_s_adjusted_p_values_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, math.nan, 0.02])[::2] == pytest.approx([0.5, 0.04])
    assert math.isnan(holm([math.nan])[0])


def test_fieller_s_interval_by_hand():
    # (3 - 4 r)^2 = 1.95996^2 (1 + r^2): 12.1586 r^2 - 24 r + 5.1586 = 0
    value, low, high = fieller(difference(3.0, 1.0), difference(4.0, 1.0))
    assert value == 0.75
    assert (low, high) == pytest.approx((0.24510, 1.72882), abs=1e-3)


def test_a_ratio_to_a_gain_that_may_be_nothing_is_not_shown():
    assert all(map(math.isnan, fieller(difference(0.3, 0.1), difference(0.1, 0.06))))


def test_a_verdict_needs_the_interval_and_the_adjusted_p_value():
    up, down = difference(0.2, 0.05), difference(-0.2, 0.05)
    assert verdict(up, 0.01) == "better"
    assert verdict(down, 0.01) == "worse"
    assert verdict(up, 0.06) == "not shown"
    assert verdict(difference(0.2, 0.2), 0.01) == "not shown"
    assert verdict(up, math.nan) == "not shown"


SUITES = [Suite("toy_guess", 1, "id"), Suite("toy_guess", 1, "ood/difficulty")]


def make_evaluation(
    folder, *, base, trained, code="c", sampling=1, tasks=12, rollouts=4
):
    """A report and its episodes, each model solving tasks at its rate of a suite."""
    rng = np.random.default_rng(len(str(folder)))
    subjects = EvaluatedModels(
        (
            EvaluatedModel("base", "b", Path("b")),
            EvaluatedModel("trained", "t", Path("t")),
        ),
        None,
        TrainConfig(limits=Limits(turn_tokens=sampling)),
        (),
    )
    chosen = {
        suite: ToyGuess().tasks(suite.split, suite.level)[:tasks] for suite in SUITES
    }
    digests = {"base": "0", "trained": str(folder)}
    code_of = {"toy_guess": code}
    made = Evaluation(
        subjects, chosen, digests, code_of, rollouts, 0, False, folder / "evals"
    )
    for subject, rates in zip(subjects.models, (base, trained), strict=True):
        for suite, rate in zip(SUITES, rates, strict=True):
            episodes = [
                said(task, rng.random() < rate)
                for task in chosen[suite]
                for _ in range(rollouts)
            ]
            write_episodes(made.path(suite, subject), episodes)
    rows = [
        compare(
            suite,
            chosen[suite],
            {s.label: made.episodes(suite, s) for s in subjects.models},
            4,
        )
        for suite in SUITES
    ]
    models = {
        s.label: {"name": s.name, "folder": str(s.folder), "sha256": digests[s.label]}
        for s in subjects.models
    }
    origin = {"sampling": "sampled at temperature 1", "seed": 0, "code": code_of}
    origin |= {
        "models": models,
        "limits": {"turn_tokens": sampling, "episode_tokens": 1024},
    }
    report.write(report.Report(rows, origin), folder / "evals", "x")
    return str(folder)


def said(task, passed):
    return Episode(
        task=task,
        messages=(),
        tools=(),
        segments=(Segment("policy", "1"),),
        stop=Stop.FINISHED,
        verdict=Verdict(passed, float(passed)),
    )


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def pair(tmp_path):
    low = make_evaluation(tmp_path / "low", base=(0.0, 0.0), trained=(0.1, 0.1))
    return low, make_evaluation(tmp_path / "high", base=(0.0, 0.0), trained=(1.0, 1.0))


def test_a_better_run_is_called_better_and_the_gain_ratio_is_its_share(
    pair, tmp_path, capsys
):
    main([*pair, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert out.count("better") >= 2
    assert "adjusted for 2 comparisons (Holm)" in out
    (path,) = (tmp_path / "out").glob("*.json")
    data = json.loads(path.read_text())
    assert [c["verdict"] for c in data["comparisons"]] == ["better", "better"]
    assert [c["tasks"] for c in data["comparisons"]] == [12, 12]
    assert all(0 < c["detectable"] < 1 for c in data["comparisons"])
    (ratio,) = data["ood_gain_ratios"]
    assert ratio["low"] < ratio["value"] < ratio["high"]

    # Each result's report, and its model's episodes on both suites.
    names = [Path(name).name for name in data["sources"]]
    assert names.count("x.json") == 2
    assert sum(name.startswith("trained-toy-guess") for name in names) == 4
    for name, digest in data["sources"].items():
        assert hashlib.sha256(Path(name).read_bytes()).hexdigest() == digest
    page = path.with_suffix(".md").read_text()
    assert "| toy_guess level 1 id | high trained | low trained | 12 |" in page


def test_many_errored_episodes_of_a_result_are_warned_of_once(pair, tmp_path, capsys):
    (path,) = Path(pair[1], "evals").glob("*.json")
    data = json.loads(path.read_text())
    about = {"episodes": 48, "errors": 5, "causes": {"ENOSPC": 5}}
    about |= {"success": {"value": 1.0}, "success_bound": 0.9}
    data["rows"][0]["scores"]["trained"] |= about
    path.write_text(json.dumps(data))
    main([*pair, pair[1], "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    words = "Warning: of 53 episodes of high trained on toy_guess level 1 id many errored: 9.4 %"
    assert " ".join(out.split()).count(words) == 1
    (path,) = (tmp_path / "out").glob("*.json")
    (note,) = json.loads(path.read_text())["notes"]
    assert note.startswith(words)


def test_the_models_of_one_evaluation_and_several_others_may_be_compared(
    pair, tmp_path, capsys
):
    main([f"{pair[1]}:base", *pair, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert "adjusted for 4 comparisons (Holm)" in out
    assert out.count("high base") >= 4


def test_the_same_result_twice_is_not_shown_to_differ(pair, tmp_path, capsys):
    main([pair[0], pair[0], "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert out.count("not shown") >= 2
    assert "low trained (2)" in out


def test_bad_input_says_what_to_do(pair, tmp_path, capsys):
    low, _ = pair
    assert "got one result, expected at least two" in refused([low], capsys)
    assert "there is no run" in refused([low, "absent"], capsys)
    assert "holds no model 'best'" in refused([low, f"{low}:best"], capsys)
    (tmp_path / "bare").mkdir()
    assert "holds no evaluation" in refused([low, str(tmp_path / "bare")], capsys)
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    assert "is no report of `scgrpo eval`" in refused([low, str(bad)], capsys)
    bad.write_text('{"provenance": {}, "rows": []}')
    assert "is an empty result" in refused([low, str(bad)], capsys)
    other = make_evaluation(
        tmp_path / "o", base=(0, 0), trained=(0, 0), code="d", sampling=2
    )
    err = refused([low, other], capsys)
    assert "mixed versions: limits" in err
    assert "toy_guess was played by other code" in err
    main([low, other, "--allow-mixed", "--out", str(tmp_path / "out")])
    assert "Mixed versions: limits" in capsys.readouterr().out


def test_episodes_that_are_gone_or_of_another_task_are_refused(pair, capsys):
    low, high = pair
    (path,) = Path(high, "evals/episodes").glob("trained-toy-guess-level-1-id-*")
    episodes = list(read_episodes(path))
    path.unlink()
    assert "are gone" in refused([low, high], capsys)
    changed = [
        Episode(
            **{**vars(e), "task": type(e.task)(**{**vars(e.task), "prompt": "other"})}
        )
        for e in episodes
    ]
    write_episodes(path, changed)
    assert "says one thing in" in refused([low, high], capsys)


def test_names_are_shown_letter_by_letter(tmp_path, capsys):
    """Neither the terminal nor Markdown reads a name as its own markup."""
    names = ["base[lr1e-3]", "a|b é", "[bold]x", ":bug:", "one*two*"]
    folders = []
    for name in names:
        folder = make_evaluation(tmp_path / name, base=(0.0, 0.0), trained=(0.5, 0.5))
        folders.append(folder)
    main([*folders, "--out", str(tmp_path / "out")])
    out = " ".join(capsys.readouterr().out.split())
    (path,) = (tmp_path / "out").glob("*.md")
    page = path.read_text()
    escaped = [*names[:1], r"a\|b é", *names[2:4], r"one\*two*"]
    for name, in_markdown in zip(names, escaped, strict=True):
        assert f"{name} trained" in out
        assert f"| {in_markdown} trained |" in page
    assert set(map(columns, table_lines(page))) == {9, 5}


@pytest.mark.parametrize("names", [["a|b", "a b", "a/b"], ["é", "ü"]])
def test_reports_of_unlike_names_are_unlike_files(names, pair, tmp_path):
    """What a file's name cannot hold must not make two reports one."""
    result = load_result(pair[0], tmp_path)
    files = {file_name([replace(result, label=name)]) for name in names}
    assert len(files) == len(names)


def test_the_report_of_many_long_names_can_be_written(tmp_path, capsys):
    names = [f"{number}{'é' * 60}" for number in range(4)]
    folders = [
        make_evaluation(tmp_path / name, base=(0.0, 0.0), trained=(0.5, 0.5))
        for name in names
    ]
    main([*folders, "--out", str(tmp_path / "out")])
    (path,) = (tmp_path / "out").glob("*.md")
    assert f"{names[-1]} trained" in path.read_text()


def table_lines(page):
    return [line for line in page.splitlines() if line.startswith("|")]


def columns(line):
    """How many cells GitHub reads in a line of a table."""
    return len(re.split(r"(?<!\\)\|", line)) - 2


def test_a_slash_in_brackets_is_a_label_as_any_other():
    """As a closing tag it would end rich's markup, which is an error."""
    out = io.StringIO()
    table = Table(("suite", "[/x]"), [["[/x]", "[b]1[/b]"]], title="[/x] table")
    show(TableReport("[/x] report", [table], ["[/x] in a legend"], {}), file=out)
    # Both titles, a column, a row's label and the legend.
    assert out.getvalue().count("[/x]") == 5
    assert "[b]1[/b]" in out.getvalue()
