"""A gang on a cluster: what its trainers see, and that a lost node costs no step twice."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scgrpo.cluster.gang import Shape, trainer_environment
from scgrpo.cluster.launch import launch
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.log import read_metrics

STEPS = 12


def test_trainers_see_what_accelerate_would_set():
    first, second, third = trainer_environment(["a", "a", "b"], "h", 5, fsdp=True)
    assert [e["RANK"] for e in (first, second, third)] == ["0", "1", "2"]
    assert [e["LOCAL_RANK"] for e in (first, second, third)] == ["0", "1", "0"]
    assert [e["LOCAL_WORLD_SIZE"] for e in (first, third)] == ["2", "1"]
    assert (first["MASTER_ADDR"], first["MASTER_PORT"]) == ("h", "5")
    assert third["WORLD_SIZE"] == "3"
    assert third["ACCELERATE_USE_FSDP"] == "true"


def test_ranks_of_a_node_follow_each_other():
    trainers = trainer_environment(["a", "b", "a", "b"], "h", 5, fsdp=True)
    assert [trainer["RANK"] for trainer in trainers] == ["0", "2", "1", "3"]
    assert [trainer["LOCAL_RANK"] for trainer in trainers] == ["0", "0", "1", "1"]


def test_a_shape_asks_for_what_is_used_alone():
    shape = Shape(trainers=2, engines=1, cpus=4, engine_gpus=2)
    assert shape.bundles == [{"CPU": 4}, {"CPU": 4}, {"CPU": 4, "GPU": 2.0}]


def settings_of(folder: Path, model: Path, steps: int = STEPS) -> list[str]:
    return [
        "env=toy_guess",
        f"model={model}",
        f"runs={folder}",
        "name=run",
        f"max_steps={steps}",
        "tasks_per_step=7",
        "group_size=4",
        "levels=0",
        "limits.turn_tokens=3",
        "limits.episode_tokens=160",
        "warm_start.mode=never",
        "device=cpu",
        "dtype=float32",
        "save_every=2",
    ]


@pytest.mark.slow
@pytest.mark.daily(0)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(900)
def test_trainers_are_placed_together_with_rollout_workers(tmp_path: Path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    tiny = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        settings = settings_of(tmp_path, tiny, steps=2)
        run = launch(Shape(trainers=2, wait_s=120), settings, workers=2)
        assert "rollout_workers: 2" in (run / "config.yaml").read_text()
        rows = read_metrics(run / "metrics.jsonl")
        assert [row["step"] for row in rows] == [1, 2]
        assert all(row["episodes/void"] == 0 for row in rows)
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.daily(0)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(900)
def test_a_run_goes_on_after_a_node_is_killed(tmp_path: Path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    tiny = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        # By the first node, which stays: the driver ends with the node that it is connected to.
        ray.init(address=cluster.address, log_to_driver=False)
        other = cluster.add_node(num_cpus=1)
        run = tmp_path / "run"

        settings = settings_of(tmp_path, tiny)
        # Nodes are added by the main thread alone, so that the run has another one.
        with ThreadPoolExecutor(1) as threads:
            ended = threads.submit(launch, Shape(trainers=2, wait_s=120), settings)
            while not (rows := read_metrics(run / "metrics.jsonl")) or len(rows) < 3:
                assert not ended.done(), ended.result()
                time.sleep(0.2)
            cluster.remove_node(other, allow_graceful=False)
            cluster.add_node(num_cpus=1)
            assert ended.result() == run
        steps = [row["step"] for row in read_metrics(run / "metrics.jsonl")]
        assert steps == list(range(1, STEPS + 1))
    finally:
        ray.shutdown()
        cluster.shutdown()
