"""Processes that train together share servers: they take the steps that one takes alone."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from envs.rollout import Limits
from envs.store import read_episodes
from scgrpo.config import EngineConfig, TrainConfig, WarmStartConfig
from scgrpo.launch import train
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.engines import probe
from scgrpo.policies.engines.network import free_port
from scgrpo.runs.log import read_metrics
from scgrpo.steps.errors import TrainingError
from tests.scgrpo.policies.engines.small_vllm import SmallVLLM

FORKS = multiprocessing.get_context("forkserver")
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
STEPS = 3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )
    model, _ = load_model(path)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0)
    model.save_pretrained(path)
    return path


def config_of(tiny: Path, runs: Path, urls: list[str], **more: Any) -> TrainConfig:
    handover = more.pop("handover", "disk")
    return TrainConfig(
        env="toy_guess",
        model=str(tiny),
        max_steps=STEPS,
        tasks_per_step=2,
        group_size=4,
        levels=(0,),
        lr=3e-3,
        limits=Limits(turn_tokens=6, episode_tokens=160),
        engine=EngineConfig("vllm_server", tuple(urls), stall_s=3.0, handover=handover),
        warm_start=WarmStartConfig("never"),
        device="cpu",
        dtype="float32",
        runs=runs,
        **more,
    )


def train_as(rank: int, port: int, launch: dict[str, str], config: TrainConfig) -> None:
    """What `accelerate launch` sets for one of two processes, then a run."""
    torch.set_num_threads(1)
    os.environ |= launch | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
    }
    train(config)


def train_on_two(config: TrainConfig, launch: dict[str, str]) -> None:
    FORKS.set_forkserver_preload(["scgrpo.launch"])
    port = free_port()
    processes = [
        FORKS.Process(target=train_as, args=(rank, port, launch, config))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0, 0]


def assert_same_run(one: Path, two: Path) -> None:
    for step in range(1, STEPS + 1):
        name = f"episodes/step-{step:06d}.jsonl"
        alone, shared = (list(read_episodes(run / name)) for run in (one, two))
        assert [e.token_ids for e in alone] == [e.token_ids for e in shared]
        assert all(not e.errored for e in alone)
        assert {v for e in alone for v in e.versions} == {step - 1}
    rows = [read_metrics(run / "metrics.jsonl") for run in (one, two)]
    assert any(row.get("train/gradient_norm") for row in rows[0])
    for mine, wanted in zip(*rows, strict=True):
        assert mine["train/loss"] == pytest.approx(wanted["train/loss"], abs=1e-5)
    last = [
        load_file(
            next((run / "checkpoints" / f"step-{STEPS:06d}").glob("*.safetensors"))
        )
        for run in (one, two)
    ]
    for name, weight in last[0].items():
        torch.testing.assert_close(last[1][name], weight, rtol=0, atol=1e-5)


CASES = {
    "ddp-disk": ({}, {}),
    "fsdp-gloo": (FSDP, {"handover": "gloo"}),
    "fsdp-disk": (FSDP, {}),
}


@pytest.mark.slow
@pytest.mark.daily(0)  # whole runs: with --all
@pytest.mark.parametrize("case", CASES)
def test_two_processes_and_two_servers_take_the_steps_of_one(
    tiny: Path, tmp_path: Path, case: str
):
    launch, settings = CASES[case]
    with ExitStack() as stack:
        urls = [stack.enter_context(SmallVLLM(tiny).running()) for _ in range(2)]
        one = train(config_of(tiny, tmp_path, urls[:1], name="one"))
    with ExitStack() as stack:
        servers = [SmallVLLM(tiny) for _ in range(2)]
        urls = [stack.enter_context(server.running()) for server in servers]
        train_on_two(config_of(tiny, tmp_path, urls, name="two", **settings), launch)
    assert_same_run(one, tmp_path / "two")
    # Each version is handed over once, to each server.
    loads = "/finish_weight_update" if "gloo" in case else "/reset_prefix_cache"
    for server in servers:
        assert server.turns
        assert server.calls.count(loads) >= STEPS
        assert server.weight_version == f"two-{STEPS}"


@pytest.mark.slow
@pytest.mark.daily(0)  # whole runs: with --all
def test_a_server_that_is_killed_in_mid_step_costs_no_episode(
    tiny: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(probe, "TURNS", 1)
    with ExitStack() as stack:
        servers = [SmallVLLM(tiny) for _ in range(2)]
        urls = [stack.enter_context(server.running()) for server in servers]
        # Behind the draws that are looked at when the run starts.
        servers[0].fault, servers[0].fault_after = "die", probe.TURN_TOKENS + 20
        run = train(config_of(tiny, tmp_path, urls, name="run"))
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["episodes/void"] == 0 for row in rows)
    assert servers[0].weight_version != servers[1].weight_version == f"run-{STEPS}"


@pytest.mark.slow
@pytest.mark.daily(0)  # whole runs: with --all
def test_a_run_whose_only_server_dies_says_so(tiny: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(probe, "TURNS", 1)
    server = SmallVLLM(tiny)
    with server.running() as url:
        server.fault, server.fault_after = "die", probe.TURN_TOKENS + 20
        with pytest.raises(TrainingError, match=f"{url[:-3]}.*resume=true"):
            train(config_of(tiny, tmp_path, [url]))


@pytest.mark.slow
@pytest.mark.daily(0)  # whole runs: with --all
@pytest.mark.parametrize("processes", [1, 2])
def test_groups_are_played_ahead_by_servers(
    tiny: Path, tmp_path: Path, monkeypatch, processes: int
):
    monkeypatch.setattr(probe, "TURNS", 1)
    with ExitStack() as stack:
        servers = [SmallVLLM(tiny) for _ in range(2)]
        urls = [stack.enter_context(server.running()) for server in servers]
        config = config_of(tiny, tmp_path, urls, name="run", ahead=1)
        if processes == 1:
            train(config)
        else:
            train_on_two(config, {})
    run = tmp_path / "run"
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["episodes/void"] == 0 for row in rows)
    assert rows[0]["train/versions_behind"] == 0
    # Begun before the update, they go on behind it.
    assert rows[-1]["train/versions_behind"] == 1
    for step in range(1, STEPS + 1):
        episodes = list(read_episodes(run / f"episodes/step-{step:06d}.jsonl"))
        versions = {v for episode in episodes for v in episode.versions}
        assert versions <= {max(0, step - 2), step - 1}
    for server in servers:
        assert server.calls.count("/pause?mode=keep") == STEPS
        assert server.weight_version == f"run-{STEPS}"
