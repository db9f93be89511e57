"""A base model that a run measured to solve nothing is left out of its evaluation, and named."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from envs.store import read_episodes, write_episodes
from envs.types import Episode, Verdict
from evals import page, run, show
from evals.evaluation.arguments import evaluation_parser, parse_evaluation
from evals.evaluation.starting import plan_without_unsolved_base
from evals.report.left_out import UnsolvedBase
from evals.statistics import Estimate
from scgrpo import train
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.folders import STARTING_EPISODES

RUN = Path("runs/first")
SMALL = ["--tasks", "3", "--rollouts", "1"]
SENTENCE = (
    "base base is left out: before the warm start it solved 0 of 8 episodes on 2 training tasks of "
    "toy_guess level 0 (0.0 %*, 95 % interval 0.0-"
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base model that writes nonsense, and a run of one step from it."""
    folder = tmp_path_factory.mktemp("workplace")
    make_tiny(folder / "base", hidden=16, layers=1, heads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SCGRPO_CACHE", str(folder / "cache"))
        settings = (
            "env=toy_guess model=base name=first device=cpu dtype=float32 levels=0 max_steps=1 "
            "tasks_per_step=2 group_size=2 limits.turn_tokens=3 limits.episode_tokens=160 "
            "warm_start.measure_episodes=8 warm_start.episodes=8 warm_start.steps=2"
        )
        train.main(settings.split())
    return folder


@pytest.fixture
def here(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the workplace, as the current folder."""
    shutil.copytree(workplace, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return RUN


def labels_and_base(words: Sequence[str]) -> tuple[list[str], UnsolvedBase | None]:
    """The models that would be evaluated, and what is said of one that is left out."""
    parser = evaluation_parser("scgrpo eval", "", "")
    arguments: argparse.Namespace = parse_evaluation(parser, [*SMALL, *words])
    evaluation, _, unsolved = plan_without_unsolved_base(arguments)
    assert evaluation.digests.keys() == {model.label for model in evaluation.models}
    return [model.label for model in evaluation.models], unsolved


def change(episodes: Sequence[Episode], **fields: object) -> None:
    """Writes the measurement again, with its first episode changed."""
    path = RUN / STARTING_EPISODES
    path.unlink()
    first, *others = episodes
    write_episodes(path, [replace(first, **fields), *others])


def test_a_run_keeps_the_episodes_that_measured_its_base_model(here: Path):
    episodes = list(read_episodes(here / STARTING_EPISODES))
    assert len(episodes) == 8
    assert {episode.task.split for episode in episodes} == {"train"}
    assert not any(episode.verified for episode in episodes)


def test_it_is_left_out_and_every_report_says_what_was_measured(here: Path, capsys):
    run.main(["--ood", *SMALL])
    printed = capsys.readouterr()
    assert SENTENCE in printed.err
    assert "models: warm-started" in printed.err
    assert SENTENCE[:60] in " ".join(printed.out.split())

    (path,) = (here / "evals").glob("*.json")
    data = json.loads(path.read_text())
    for row in data["rows"]:
        assert list(row["scores"]) == ["warm-started", "trained"]
        assert [d["before"] for d in row["differences"]] == ["warm-started"]
    about = data["provenance"]["left_out"]
    assert (about["name"], about["env"], about["level"]) == ("base", "toy_guess", 0)
    success = about["success"]
    assert (success["value"], success["episodes"], success["tasks"]) == (0.0, 8, 2)
    assert 0.5 < success["high"] < 1
    assert list(data["provenance"]["models"]) == ["warm-started", "trained"]

    page.main([])
    assert SENTENCE in (here / "evals" / "report.html").read_text()
    (markdown,) = (here / "evals").glob("*.md")
    assert SENTENCE.replace("*", "\\*") in markdown.read_text()
    capsys.readouterr()
    show.main([])
    assert SENTENCE[:60] in " ".join(capsys.readouterr().out.split())


def test_base_evaluates_it_all_the_same(here: Path, capsys):
    run.main(["--base", "base", *SMALL])
    assert "is left out" not in capsys.readouterr().err
    (path,) = (here / "evals").glob("*.json")
    data = json.loads(path.read_text())
    assert list(data["rows"][0]["scores"]) == ["base", "warm-started", "trained"]
    assert "left_out" not in data["provenance"]


@pytest.mark.parametrize(
    "words",
    [
        "--base base",
        "--greedy",
        "--levels 0 1",
        "--envs toy_guess math_chain --levels 0",
        "--chat date=2026-01-01",
    ],
)
def test_it_is_evaluated_if_something_else_is_asked(here: Path, words: str):
    labels, unsolved = labels_and_base(words.split())
    assert labels == ["base", "warm-started", "trained"]
    assert unsolved is None


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": Verdict(True, 1.0)},
        {"source": "other code"},
        {"env": "scgrpo/math_chain-v0"},
    ],
)
def test_it_is_evaluated_if_the_measurement_says_nothing_of_it(here: Path, fields):
    episodes = list(read_episodes(here / STARTING_EPISODES))
    assert labels_and_base([])[1] is not None
    change(episodes, **fields)
    assert labels_and_base([]) == (["base", "warm-started", "trained"], None)


def test_it_is_evaluated_without_a_measurement_or_without_a_warm_start(here: Path):
    kept = (here / STARTING_EPISODES).read_bytes()
    (here / STARTING_EPISODES).unlink()
    assert labels_and_base([])[0] == ["base", "warm-started", "trained"]
    (here / STARTING_EPISODES).write_bytes(kept)
    assert labels_and_base([])[0] == ["warm-started", "trained"]
    # What the trained model gained would not be seen.
    shutil.rmtree(here / "warm_start")
    assert labels_and_base([])[0] == ["base", "trained"]


def test_the_sentence_names_the_episodes_and_the_interval():
    success = Estimate(0.0, 0.0, 0.324, 8, 32, 8, "family")
    assert str(UnsolvedBase("auto", "swe_lite", 0, success)) == (
        "base auto is left out: before the warm start it solved 0 of 32 episodes on 8 training "
        "tasks of swe_lite level 0 (0.0 %, 95 % interval 0.0-32.4). --base auto evaluates it"
    )
