"""Evaluation during training: the same held-out tasks each time, and the best step is kept."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from envs.rollout import Limits
from envs.toy.guess import ToyGuess
from scgrpo.config import TrainConfig, ValidationConfig, WarmStartConfig
from scgrpo.loop import TrainingLoop
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs import checkpoints
from scgrpo.runs import folders as runs
from scgrpo.runs.log import VALIDATION, read_metrics
from scgrpo.validation import describe_validation, validate

LIMITS = Limits(turn_tokens=3, episode_tokens=160)


@pytest.fixture(scope="module")
def play():
    with Rollouts("toy_guess", LIMITS, threads=1) as found:
        yield found


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        env="toy_guess",
        model=str(make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)),
        max_steps=4,
        tasks_per_step=2,
        group_size=2,
        levels=(0,),
        limits=LIMITS,
        warm_start=WarmStartConfig("never"),
        validation=ValidationConfig(every=2, tasks=3),
        device="cpu",
        dtype="float32",
        runs=tmp_path,
        save_every=100,
        keep_checkpoints=1,
    )


def learn(run: Path, config: TrainConfig, play: Rollouts) -> None:
    with TrainingLoop(run, config, play, Path(config.model)) as learner:
        learner.learn()


def test_success_of_each_split_and_the_gap(play):
    # `id` windows of three at 2 and 5: middle 3 and 6. `ood/difficulty` has windows of 15.
    found = validate(
        play, ScriptedPolicy(["3", "6"]), ValidationConfig(tasks=100), 0, seed=1
    )
    env = ToyGuess()
    held, shifted = (
        sum(t.payload["number"] in (3, 6) for t in tasks) / len(tasks)
        for tasks in (env.tasks("id", 0), env.tasks("ood/difficulty", 0))
    )
    assert found == pytest.approx(
        {
            "validation/id": held,
            "validation/ood/difficulty": shifted,
            "validation/gap": held - shifted,
        }
    )
    assert held > shifted > 0


def test_errored_episodes_are_counted_by_cause_over_all_splits(play):
    def broken(chat):
        raise OSError(errno.ENOSPC, "No space left on device", "in the sandbox")

    config = ValidationConfig(tasks=2)
    splits = [split for split in play.env.splits if split != "train"]
    found = validate(play, ScriptedPolicy(broken), config, 0, seed=1)
    assert found == {"validation_errors/ENOSPC": 2.0 * len(splits)}
    assert (
        describe_validation(found)
        == "no held-out task has a verdict, errored: ENOSPC 4"
    )
    mixed = {"validation/id": 0.5, "validation_errors/ENOSPC": 1.0}
    assert describe_validation(mixed) == "validation/id 50.0 %, errored: ENOSPC 1"


def test_it_comes_every_so_many_steps_and_marks_the_best(play, config, tmp_path):
    run = runs.new_run(tmp_path, "a")
    learn(run, config, play)
    rows = read_metrics(run / VALIDATION)
    assert [row["step"] for row in rows] == [2, 4]
    best = max(rows, key=lambda row: row["validation/id"])["step"]
    link = run / "checkpoints" / checkpoints.BEST
    assert checkpoints.step_of(link.resolve()) == best
    checkpoints.verify(link)


def test_the_best_outlives_newer_checkpoints(play, config, tmp_path):
    run = runs.new_run(tmp_path, "a")
    learn(run, replace(config, max_steps=2), play)
    learn(run, replace(config, max_steps=5, save_every=1, resume=True, lr=1e-9), play)
    assert checkpoints.step_of((run / "checkpoints" / checkpoints.BEST).resolve()) == 2
    assert sorted(path.name for path in (run / "checkpoints").glob("step-*")) == [
        "step-000002",
        "step-000005",
    ]


def test_a_resumed_run_measures_what_it_had_not(play, config, tmp_path):
    run = runs.new_run(tmp_path, "a")
    learn(run, replace(config, max_steps=2, validation=ValidationConfig()), play)
    assert read_metrics(run / VALIDATION) == []
    learn(run, replace(config, resume=True), play)
    learn(run, replace(config, resume=True), play)
    assert [row["step"] for row in read_metrics(run / VALIDATION)] == [2, 4]


@pytest.mark.parametrize("wrong", [{"every": -1}, {"tasks": 0}])
def test_settings_that_measure_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="validation"):
        ValidationConfig(**wrong)
