"""A run that is killed again and again learns what the uninterrupted one learns, to the bit."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from envs.rollout import Limits
from scgrpo import checkpoint, runs
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.learner import Learner
from scgrpo.log import read_metrics
from scgrpo.models import make_tiny
from scgrpo.rollouts import Rollouts

KILLS = 20
STEPS = 40
LIFE_S = (0.05, 1.0)  # of which the first half second loads the model
FORKS = multiprocessing.get_context("forkserver")


def learn(run: Path, config: TrainConfig) -> None:
    """What a life of the run does; one thread, so that episodes join the batch in one order."""
    torch.set_num_threads(1)
    with (
        Rollouts(config.env, config.limits, threads=1) as play,
        Learner(run, config, play, Path(config.model)) as learner,
    ):
        learner.learn()


def told(run: Path) -> list[Mapping[str, Any]]:
    """The metrics without the times, which no run repeats."""
    return [
        {key: value for key, value in row.items() if not key.startswith("time")}
        for row in read_metrics(run / "metrics.jsonl")
    ]


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path):
    FORKS.set_forkserver_preload(["scgrpo.learner"])
    config = TrainConfig(
        env="toy_guess",
        model=str(make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)),
        steps=STEPS,
        tasks_per_step=3,
        group=4,
        lr=3e-3,
        limits=Limits(turn_tokens=4, episode_tokens=160),
        warm_start=WarmStartConfig("never"),
        device="cpu",
        dtype="float32",
        runs=tmp_path,
        save_every=3,
        resume=True,
    )
    whole, killed = runs.new_run(tmp_path, "whole"), runs.new_run(tmp_path, "killed")
    life = FORKS.Process(target=learn, args=(whole, config))
    life.start()
    life.join()
    assert life.exitcode == 0
    chance = random.Random(0)
    kills, moments = 0, set()
    while kills < KILLS:
        life = FORKS.Process(target=learn, args=(killed, config))
        life.start()
        life.join(chance.uniform(*LIFE_S))
        if life.exitcode is not None:
            assert life.exitcode == 0
            pytest.fail(f"the run ended after {kills} kills, before the last: give it more steps")
        life.kill()
        life.join()
        kills += 1
        moments.add(len(read_metrics(killed / "metrics.jsonl")))
    life = FORKS.Process(target=learn, args=(killed, config))
    life.start()
    life.join()
    assert life.exitcode == 0
    assert len(moments) > 3, f"the kills came at steps {moments}: too few different ones"
    assert [row["step"] for row in told(whole)] == list(range(1, STEPS + 1))
    assert told(killed) == told(whole)
    last = [checkpoint.latest(run / "checkpoints") for run in (whole, killed)]
    one, other = (load_file(path / "model.safetensors") for path in last if path)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(row.get("train/tokens") for row in told(whole))
