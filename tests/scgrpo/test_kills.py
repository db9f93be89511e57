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
from envs.store import read_episodes
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


def kill_at_random(run: Path, config: TrainConfig, kills: int) -> set[int]:
    """Starts the run again after each kill; how many steps it had finished at those."""
    FORKS.set_forkserver_preload(["scgrpo.loop"])
    usual_s = first_save_s(runs.new_run(run.parent, "timed"), config)
    chance, moments = random.Random(0), set()
    for _ in range(kills):
        life = FORKS.Process(target=learn, args=(run, config))
        life.start()
        life.join(usual_s * chance.uniform(*LIVES))
        assert life.exitcode is None
        life.kill()
        life.join()
        moments.add(len(read_metrics(run / "metrics.jsonl")))
    return moments


def finish(run: Path, config: TrainConfig, steps: int) -> None:
    """A life that ends by itself."""
    life = FORKS.Process(target=learn, args=(run, replace(config, max_steps=steps)))
    life.start()
    life.join()
    assert life.exitcode == 0


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(tmp_path: Path, day: Day):
    config = config_in(tmp_path, ENDLESS)
    whole, killed = runs.new_run(tmp_path, "whole"), runs.new_run(tmp_path, "killed")
    moments = kill_at_random(killed, config, day.count(7, 20))
    steps = read_metrics(killed / "metrics.jsonl")[-1]["step"] + MORE
    for run in (killed, whole):
        finish(run, config, steps)
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
@pytest.mark.daily(0)
def test_kills_while_the_next_groups_are_played_lose_none(tmp_path: Path):
    # One level: on which side of an update a task is drawn makes no difference.
    config = replace(config_in(tmp_path, ENDLESS), ahead=1, levels=(0,))
    whole, killed = runs.new_run(tmp_path, "whole"), runs.new_run(tmp_path, "killed")
    moments = kill_at_random(killed, config, kills=5)
    steps = read_metrics(killed / "metrics.jsonl")[-1]["step"] + 3
    finish(killed, config, steps)
    finish(whole, config, steps)
    assert len(moments) > 1, f"the kills came at steps {moments}"
    rows = told(killed)
    assert [row["step"] for row in rows] == list(range(1, steps + 1))
    assert max(row["train/versions_behind"] for row in rows) == 1
    for step in range(1, steps + 1):
        name = f"episodes/step-{step:06d}.jsonl"
        one, other = (list(read_episodes(run / name)) for run in (whole, killed))
        assert [(e.task.id, e.seed) for e in one] == [
            (e.task.id, e.seed) for e in other
        ]
        assert len(one) == config.tasks_per_step * config.group_size


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
