"""Results of other harnesses: read as they are written, and compared like our own."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from evals.compare import main
from evals.comparison.formats import Choice, load_any
from evals.comparison.rows import as_outcome
from evals.comparison.verdicts import compare_results, holm


def lines(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def outcomes(place, *, label="", **choice):
    name = f"{place}:{label}" if label else str(place)
    result = load_any(name, Path("runs"), Choice(**choice))
    return {
        str(suite): {task: rows.outcomes for task, rows in tasks.items()}
        for suite, tasks in result.suites.items()
    }


def inspect_log(path: Path, scores, model="m"):
    """A log of Inspect by its own library: task -> one value or error for each epoch."""
    inspect_ai = pytest.importorskip(
        "inspect_ai", reason="the extra `inspect` is not installed"
    )
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec
    from inspect_ai.scorer import Score

    assert inspect_ai
    samples = []
    for task, values in scores.items():
        for epoch, value in enumerate(values, start=1):
            broken = value == "error"
            error = {"message": "gone", "traceback": "", "traceback_ansi": ""}
            samples.append(
                EvalSample(
                    id=task,
                    epoch=epoch,
                    input=f"do {task}",
                    target="",
                    scores=None
                    if broken
                    else {"judge": Score(value=value), "length": Score(value=0.25)},
                    error=error if broken else None,
                    metadata={"family": task[0]},
                )
            )
    spec = EvalSpec(
        created="2026-11-01T00:00:00+00:00",
        task="gsm8k",
        dataset=EvalDataset(),
        model=model,
        config=EvalConfig(),
    )
    log = EvalLog(status="success", eval=spec, samples=samples)
    from inspect_ai.log import write_eval_log

    write_eval_log(log, path)
    return path


def test_a_log_of_inspect_gives_epochs_letters_and_errors(tmp_path):
    path = inspect_log(tmp_path / "a.eval", {"x1": ["C", "I"], "x2": ["P", "error"]})
    gsm8k = outcomes(path)["gsm8k"]
    assert gsm8k["x1"] == (1.0, 0.0)
    assert gsm8k["x2"][0] == 0.5
    assert math.isnan(gsm8k["x2"][1])
    assert outcomes(path, metric="length")["gsm8k"]["x1"] == (0.25, 0.25)
    result = load_any(str(path), Path("runs"), Choice())
    (tasks,) = result.suites.values()
    assert tasks["x1"].family == "x"
    assert "1 of 4 rollouts are errors" in result.warnings[0]


def test_samples_of_lm_eval_give_one_filter_and_its_first_metric(tmp_path):
    def row(doc, value, filter_="strict-match", **more):
        return {
            "doc_id": doc,
            "doc_hash": f"h{doc}",
            "filter": filter_,
            "metrics": ["exact_match"],
            "exact_match": value,
            **more,
        }

    folder = tmp_path / "model-a"
    rows = [row(0, 1.0), row(1, 0.0), row(0, 1.0, "flexible"), row(1, 1.0, "flexible")]
    lines(folder / "samples_gsm8k_2026-11-01T10-00-00.jsonl", rows)
    lines(folder / "samples_arc_2026-11-01T10-00-00.jsonl", [row(7, 1.0)])
    assert outcomes(folder) == {
        "arc": {"7": (1.0,)},
        "gsm8k": {"0": (1.0,), "1": (0.0,)},
    }


def test_other_questions_under_the_same_number_are_not_compared(tmp_path):
    def samples(name, doc_hash):
        row = {"doc_id": 0, "doc_hash": doc_hash, "metrics": ["acc"], "acc": 1.0}
        return str(lines(tmp_path / name / "samples_a_1.jsonl", [row]))

    names = [samples("old", "h1"), samples("new", "h2")]
    results = [load_any(name, Path("runs"), Choice()) for name in names]
    with pytest.raises(ValueError, match="0 says one thing"):
        compare_results(results)


def test_traces_of_verifiers_give_the_weighted_sum_of_an_episode_that_is_ok(tmp_path):
    def episode(key, rewards, *, ok=True):
        agent = {"name": "agent", "config": {"model": "q"}, "trainable": True}
        return {
            "env": {"id": "wordle"},
            "task": {"key": key, "data": {"idx": 0}},
            "ok": ok,
            "traces": [{"agent": agent, "rewards": rewards}],
        }

    half = {
        "a": {"score": 1.0, "weight": 0.5},
        "judge": {"score": 1.0, "weight": 0.25},
    }
    rows = [
        episode("t1", half),
        episode("t1", {"a": {"score": 0.0, "weight": 1.0}}),
        episode("t2", half, ok=False),
    ]
    path = lines(tmp_path / "run" / "traces.jsonl", rows)
    wordle = outcomes(path.parent)["wordle"]
    assert wordle["t1"] == (0.75, 0.0)
    assert math.isnan(wordle["t2"][0])
    assert outcomes(path, pass_at=0.5)["wordle"]["t1"] == (1.0, 0.0)


def test_a_job_of_harbor_gives_a_rollout_for_each_trial(tmp_path):
    def trial(name, task, reward, exception=None):
        value = {
            "task_name": task,
            "trial_name": name,
            "task_checksum": "c" + task,
            "agent_info": {"name": "oracle", "model_info": None},
            "verifier_result": None if reward is None else {"rewards": reward},
            "exception_info": exception,
        }
        lines(tmp_path / "job" / name / "result.json", [value])

    trial("a__1", "a", {"reward": 1.0, "style": 0.5})
    trial("a__2", "a", {"reward": 0})
    # What an exception leaves behind is no verdict, whatever number stands there.
    trial("b__1", "b", {"reward": 0.0}, {"exception_type": "AgentTimeoutError"})
    lines(tmp_path / "job" / "result.json", [{"stats": {}}])
    job = outcomes(tmp_path / "job")["all"]
    assert job["a"] == (1.0, 0.0)
    assert math.isnan(job["b"][0])


def test_rollouts_of_nemo_gym_are_told_apart_by_their_indices(tmp_path):
    rows = [
        {"_ng_task_index": t, "_ng_rollout_index": r, "reward": float(t == r)}
        for t in range(2)
        for r in range(2)
    ]
    path = lines(tmp_path / "rollouts.jsonl", rows)
    assert outcomes(path)["all"] == {"0": (1.0, 0.0), "1": (0.0, 1.0)}
    lines(path, [*rows, rows[0]])
    with pytest.raises(ValueError, match="rollout 0 of task '0' stands there twice"):
        outcomes(path)


def test_a_table_of_two_models_is_read_by_its_columns(tmp_path):
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["task_id", "rollout", "model", "passed", "family"])
        writer.writerows([["a", 0, "old", "false", "f"], ["a", 1, "old", "", "f"]])
        writer.writerow(["a", 0, "new", "True", "f"])
    (first, second) = outcomes(path, label="old")["all"]["a"]
    assert first == 0.0
    assert math.isnan(second)
    assert outcomes(path, label="new")["all"]["a"] == (1.0,)
    with pytest.raises(ValueError, match=r"several models; name one: .*t\.csv:old"):
        outcomes(path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"task": "a", "score": 3}], "--pass-at"),
        ([{"task": "a", "score": "often"}], "expected a number, true or false"),
        ([{"task": "a", "reward": None}], "every rollout is an error"),
    ],
)
def test_what_is_no_outcome_says_what_to_do(tmp_path, rows, says):
    path = lines(tmp_path / "t.jsonl", rows)
    with pytest.raises(ValueError, match=says):
        outcomes(path)


def test_a_threshold_makes_passes_of_scores():
    assert as_outcome(3, 2.5, "") == 1.0
    assert as_outcome("2", 2.5, "") == 0.0
    assert math.isnan(as_outcome(None, 2.5, ""))


def table(path: Path, rates, rollouts=5, per_family=1):
    rng = np.random.default_rng(int(rates.sum() * 1000))
    rows = [
        {
            "task": i,
            "rollout": k,
            "pass": bool(rng.random() < rate),
            "family": i // per_family,
        }
        for i, rate in enumerate(rates)
        for k in range(rollouts)
    ]
    path.write_text(json.dumps(rows))
    return path


def rates_of(result):
    (tasks,) = result.suites.values()
    return np.array([np.mean(task.outcomes) for task in tasks.values()])


def pair(tmp_path, **how):
    rng = np.random.default_rng(7)
    paths = [
        table(tmp_path / "a.json", rng.random(40) * 0.6, **how),
        table(tmp_path / "b.json", rng.random(40), **how),
    ]
    return [load_any(str(path), Path("runs"), Choice()) for path in paths]


def test_the_paired_test_is_scipy_s(tmp_path):
    from scipy import stats

    results = pair(tmp_path)
    (comparison,) = compare_results(results)
    before, after = map(rates_of, results)
    expected = stats.ttest_rel(after, before)
    interval = expected.confidence_interval(0.95)
    test = comparison.test
    assert test.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    assert test.estimate.value == pytest.approx((after - before).mean(), abs=1e-9)
    assert test.estimate.low == pytest.approx(interval.low, abs=1e-9)
    assert test.estimate.high == pytest.approx(interval.high, abs=1e-9)


def test_clusters_of_one_size_are_scipy_s_test_of_their_means(tmp_path):
    from scipy import stats

    results = pair(tmp_path, per_family=4)
    (comparison,) = compare_results(results)
    before, after = map(rates_of, results)
    means = (after - before).reshape(10, 4).mean(axis=1)
    expected = stats.ttest_1samp(means, 0.0)
    assert comparison.test.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    low = expected.confidence_interval(0.95).low
    assert comparison.test.estimate.low == pytest.approx(low, abs=1e-9)


def test_clusters_and_holm_are_those_of_statsmodels(tmp_path):
    api = pytest.importorskip(
        "statsmodels.api", reason="statsmodels, the independent check, is missing"
    )
    from statsmodels.stats.multitest import multipletests

    results = pair(tmp_path, per_family=3)
    (comparison,) = compare_results(results)
    before, after = map(rates_of, results)
    fit = api.OLS(after - before, np.ones(40)).fit(
        cov_type="cluster", cov_kwds={"groups": np.arange(40) // 3}
    )
    # Its correction has (N - 1) / (N - k) as well, which is 1 for a mean alone.
    assert comparison.test.error == pytest.approx(float(fit.bse[0]), abs=1e-9)

    p_values = np.random.default_rng(0).random(9) ** 3
    _, expected, _, _ = multipletests(p_values, method="holm")
    assert holm(list(p_values)) == pytest.approx(list(expected), abs=1e-9)


def test_the_detectable_difference_is_that_of_statsmodels(tmp_path):
    power = pytest.importorskip(
        "statsmodels.stats.power",
        reason="statsmodels, the independent check, is missing",
    )
    results = pair(tmp_path, per_family=4)
    (comparison,) = compare_results(results)
    before, after = map(rates_of, results)
    means = (after - before).reshape(10, 4).mean(axis=1)
    # Its own search for the effect ends seven digits in; the power that it gives is exact.
    effect = comparison.test.detectable / means.std(ddof=1)
    expected = power.TTestPower().power(effect, nobs=10, alpha=0.05)
    assert expected == pytest.approx(0.8, abs=1e-9)


def test_the_command_compares_two_logs_of_others(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = inspect_log(tmp_path / "old.eval", {f"q{i}": ["I"] * 4 for i in range(12)})
    new = inspect_log(tmp_path / "new.eval", {f"q{i}": ["C"] * 4 for i in range(12)})
    main([str(old), str(new)])
    out = capsys.readouterr().out
    assert "gsm8k" in out
    assert "level 0" not in out
    assert "better" in out
    assert list((tmp_path / "comparisons").glob("*.json"))
