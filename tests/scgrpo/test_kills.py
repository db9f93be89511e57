"""A run that is killed again and again learns what the uninterrupted one learns, to the bit."""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from envs.rollout import Limits
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.loop import TrainingLoop
from scgrpo.models.tiny import make_tiny
from scgrpo.rollouts import Rollouts
from scgrpo.runs import checkpoints
from scgrpo.runs import folders as runs
from scgrpo.runs.disk import DiskError
from scgrpo.runs.log import read_metrics
from scgrpo.training.run_checkpoints import RunCheckpoints
from tests.daily import Day

ENDLESS = (
    1_000_000  # steps, so that no machine is fast enough to end before the last kill
)
MORE = 6
LIVES = (
    0.05,
    1.5,
)  # of what this machine takes to load the model and save for the first time
PATIENCE_S = 60
FORKS = multiprocessing.get_context("forkserver")


def config_in(folder: Path, steps: int) -> TrainConfig:
    return TrainConfig(
        env="toy_guess",
        model=str(make_tiny(folder / "tiny", hidden=16, layers=1, heads=2)),
        max_steps=steps,
        tasks_per_step=3,
        group_size=4,
        lr=3e-3,
        limits=Limits(turn_tokens=4, episode_tokens=160),
        warm_start=WarmStartConfig("never"),
        device="cpu",
        dtype="float32",
        runs=folder,
        save_every=3,
        resume=True,
    )


def learn(run: Path, config: TrainConfig) -> None:
    """What a life of the run does; one thread, so that episodes join the batch in one order."""
    torch.set_num_threads(1)
    with (
        Rollouts(config.env, config.limits, threads=1) as play,
        TrainingLoop(run, config, play, Path(config.model)) as learner,
    ):
        learner.learn()


def told(run: Path) -> list[Mapping[str, Any]]:
    """The metrics without times and memory, which no run repeats."""
    return [
        {
            key: value
            for key, value in row.items()
            if not key.startswith(("time", "memory/"))
        }
        for row in read_metrics(run / "metrics.jsonl")
    ]


def first_save_s(run: Path, config: TrainConfig) -> float:
    """Seconds from a life's start to its first checkpoint, here and now."""
    server = FORKS.Process(
        target=int
    )  # the first of all waits for the server's own start
    server.start()
    server.join()
    began = time.monotonic()
    life = FORKS.Process(target=learn, args=(run, config))
    life.start()
    while checkpoints.latest(run / "checkpoints") is None:
        assert time.monotonic() - began < PATIENCE_S
        time.sleep(0.01)
    life.kill()
    life.join()
    return time.monotonic() - began


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(tmp_path: Path, day: Day):
    FORKS.set_forkserver_preload(["scgrpo.loop"])
    config = config_in(tmp_path, ENDLESS)
    whole, killed = runs.new_run(tmp_path, "whole"), runs.new_run(tmp_path, "killed")
    chance = random.Random(0)
    usual_s = first_save_s(runs.new_run(tmp_path, "timed"), config)
    kills, moments = 0, set()
    while kills < day.count(7, 20):
        life = FORKS.Process(target=learn, args=(killed, config))
        life.start()
        life.join(usual_s * chance.uniform(*LIVES))
        assert life.exitcode is None
        life.kill()
        life.join()
        kills += 1
        moments.add(len(read_metrics(killed / "metrics.jsonl")))
    steps = read_metrics(killed / "metrics.jsonl")[-1]["step"] + MORE
    for run in (killed, whole):
        life = FORKS.Process(target=learn, args=(run, replace(config, max_steps=steps)))
        life.start()
        life.join()
        assert life.exitcode == 0
    assert len(moments) > day.count(2, 3), (
        f"the kills came at steps {moments}: too few different ones"
    )
    assert [row["step"] for row in told(whole)] == list(range(1, steps + 1))
    assert told(killed) == told(whole)
    last = [checkpoints.latest(run / "checkpoints") for run in (whole, killed)]
    one, other = (load_file(path / "model.safetensors") for path in last if path)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(row.get("train/tokens") for row in told(whole))


@pytest.mark.slow
def test_a_disk_that_turns_read_only_stops_the_run_and_costs_no_more_than_the_steps_since_its_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config_in(tmp_path, steps=9)
    whole, broken = runs.new_run(tmp_path, "whole"), runs.new_run(tmp_path, "broken")
    kept = broken / "checkpoints"
    threads = torch.get_num_threads()
    learn(whole, config)
    save = RunCheckpoints.save

    def turned(self: RunCheckpoints) -> None:
        if self.step == 6:
            # The folder as it stands, and nothing can be written to it any more.
            for how in (["--bind"], ["-o", "bind,remount,ro"]):
                subprocess.run(
                    ["mount", *how, kept, kept], check=True, capture_output=True
                )
        save(self)

    monkeypatch.setattr(RunCheckpoints, "save", turned)
    try:
        with pytest.raises(
            DiskError, match="step-000006: the disk is read-only: choose a folder"
        ):
            learn(broken, config)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"mounting wants root: {error.stderr.decode()[-100:]}")
    finally:
        torch.set_num_threads(threads)
        subprocess.run(["umount", kept], check=False, capture_output=True)
    monkeypatch.undo()
    assert [row["step"] for row in told(broken)] == [1, 2, 3, 4, 5, 6]
    assert checkpoints.latest(kept) == checkpoints.step_folder(kept, 3)
    learn(broken, config)
    torch.set_num_threads(threads)
    assert told(broken) == told(whole)
