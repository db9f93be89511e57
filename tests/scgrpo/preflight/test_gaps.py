"""A run says what is known of its starting weights' gap, and warns if it is not above 0."""

from __future__ import annotations

import json
import logging
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from envs import registry
from envs.identity import identity
from scgrpo.config import TrainConfig
from scgrpo.models.sources.digest import weights_digest
from scgrpo.models.tiny import make_tiny
from scgrpo.preflight.gaps import log_gap, planned_gap
from scgrpo.runs.gaps import SavedGap, find_gap, gap_data
from scgrpo.settings import parse as settings
from scgrpo.train import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture
def config(tiny: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(env="toy_guess", model=str(tiny), runs=tmp_path, levels=(0,))


@pytest.fixture
def env():
    return registry.make("toy_guess").unwrapped


def saved(folder: Path, start: Path, toy, low: float, **changes) -> SavedGap:
    about = identity(toy)
    gap = SavedGap(
        "m", weights_digest(start), about.env, about.source, 0, "id", 96,
        value=0.1, low=low, high=0.3, date="2026-11-29T10:00:00Z",
    )  # fmt: skip
    gap = replace(gap, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    row = gap_data(gap)
    if math.isnan(low):
        row["low"] = None
    (folder / f"{gap.date[:13]}.json").write_text(json.dumps({"gaps": [row]}))
    return gap


def test_a_gap_that_holds_0_is_warned_of_and_one_above_0_is_told(
    tiny, config, env, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    saved(tmp_path / "evals" / "gap", tiny, env, -0.05)
    log_gap(config, tiny, env)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "+10.0 points (-5.0 to +30.0) on 96 tasks" in record.message
    assert "whose interval is not above 0" in record.message

    # A newer one, which a run's own evaluation has measured.
    caplog.clear()
    folder = tmp_path / "first" / "evals" / "gap"
    saved(folder, tiny, env, 0.02, date="2026-11-29T11:00:00Z")
    log_gap(config, tiny, env)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "+2.0 to +30.0" in record.message


def test_without_an_interval_it_is_not_shown(tiny, config, env, tmp_path, caplog):
    saved(tmp_path / "evals" / "gap", tiny, env, math.nan)
    log_gap(config, tiny, env)
    assert "no interval" in caplog.text


def test_a_gap_of_something_else_is_none(tiny, config, env, tmp_path):
    folder = tmp_path / "evals" / "gap"
    weights = {weights_digest(tiny)}
    for change in (
        {"level": 1}, {"split": "ood/range"}, {"weights": "x"}, {"source": "x"}, {"env": "x"},
    ):  # fmt: skip
        saved(folder, tiny, env, 0.1, **change)
        assert find_gap(tmp_path, identity(env), 0, weights) is None
    saved(folder, tiny, env, 0.1)
    assert find_gap(tmp_path, identity(env), 0, weights) is not None
    # A torn file is no gap, and no failure.
    (folder / "torn.json").write_text('{"gaps": [{"model"')
    assert find_gap(tmp_path, identity(env), 0, weights) is not None


def test_a_plan_prints_the_gap_or_how_to_measure_it(
    tiny, config, env, tmp_path, capsys
):
    words = [f"{key}={value}" for key, value in {
        "env": "toy_guess", "model": tiny, "runs": tmp_path, "levels": "0",
        "device": "cpu", "plan": "true",
    }.items()]  # fmt: skip
    main(words)
    how = f"not measured: does the model read references? scgrpo gap --model {tiny}"
    assert f"gap         {how} --envs toy_guess --levels 0" in capsys.readouterr().out

    saved(tmp_path / "evals" / "gap", tiny, env, -0.05)
    main(words)
    printed = capsys.readouterr().out
    assert "gap         +10.0 points (-5.0 to +30.0) on 96 tasks of id" in printed
    assert "the model does not read its references" in printed
    # Who shows no reference has no gap to measure.
    main([*words, "algo=grpo"])
    assert "\ngap " not in capsys.readouterr().out


def test_a_plan_knows_the_warm_start_of_a_run_that_starts_alike(
    tiny, config, env, tmp_path
):
    warm = make_tiny(tmp_path / "warm", hidden=8, layers=1, heads=1)
    run = tmp_path / "first"
    shutil.copytree(warm, run / "warm_start")
    (run / "checkpoints").mkdir()
    settings.save(config, run / "config.yaml")
    saved(run / "evals" / "gap", warm, env, 0.02)
    assert "+2.0 to +30.0" in str(planned_gap(replace(config, max_steps=3)))
    assert "not measured" in str(planned_gap(replace(config, seed=1)))


def test_a_run_warns_before_its_first_step(tiny, config, env, tmp_path, caplog):
    saved(tmp_path / "evals" / "gap", tiny, env, -0.05)
    main([
        "env=toy_guess", f"model={tiny}", f"runs={tmp_path}", "levels=0", "device=cpu",
        "warm_start.mode=never", "max_steps=1", "tasks_per_step=1", "group_size=2",
        "limits.turn_tokens=4",
    ])  # fmt: skip
    assert caplog.text.count("whose interval is not above 0") == 1
