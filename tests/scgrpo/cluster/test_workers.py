"""Rollout workers on a cluster of two nodes, of which one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from envs.rollout import Limits
from envs.store import read_episodes
from envs.types import Episode, Message
from sandboxes import SandboxConfig, SandboxError, open_pool
from sandboxes.commands import CommandError
from scgrpo.cluster import workers as workers_module
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs.log import read_metrics

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
from ray.cluster_utils import Cluster  # noqa: E402 - once it is known to be there

pytestmark = [
    pytest.mark.slow,
    pytest.mark.daily(0),  # clusters: with --all
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(600),
]

LIMITS = Limits()
STEPS, TASKS, GROUP = 25, 5, 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with room for two workers each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        opened = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
        opened.add_node(num_cpus=2)
        patch.setenv("RAY_ADDRESS", opened.address)
        yield opened
        opened.shutdown()


def timeless(episodes: list[Episode]) -> list[Episode]:
    return [replace(episode, wall_s=0.0) for episode in episodes]


def half(chat: list[Message]) -> str:
    """The middle of the window, and of what is left of it."""
    words = chat[0]["content"].split()[-1].strip(".").split("-")
    low, high = map(int, words)
    for turn, answer in zip(chat[1::2], chat[2::2], strict=True):
        number = int(turn["content"])
        low, high = (
            (number + 1, high) if answer["content"] == "higher" else (low, number - 1)
        )
    return str((low + high) // 2)


def actors(cluster: Any) -> list[psutil.Process]:
    """The processes of workers."""
    found: list[psutil.Process] = []
    for node in cluster.list_all_nodes():
        raylet = node.all_processes["raylet"][0].process.pid
        for process in psutil.Process(raylet).children():
            # Some end while they are looked at.
            with suppress(psutil.Error):
                if "RolloutWorker" in " ".join(process.cmdline()):
                    found.append(process)
    return found


def assert_nothing_is_left(cluster: Any) -> None:
    """No worker, and no cores that are taken."""
    deadline = time.monotonic() + 30
    while actors(cluster):
        assert time.monotonic() < deadline, actors(cluster)
        time.sleep(0.1)
    ray.init(address=cluster.address, log_to_driver=False)
    while ray.available_resources().get("CPU") != ray.cluster_resources().get("CPU"):
        assert time.monotonic() < deadline, ray.available_resources()
        time.sleep(0.1)
    ray.shutdown()


def test_episodes_are_those_that_are_played_here(cluster: Any):
    with Rollouts("toy_guess", LIMITS, threads=4) as here:
        tasks = here.env.tasks("train", 2)[:6]
        policies = [None, ScriptedPolicy(half)]
        expected = [here(policy, tasks, group=2, seed=1) for policy in policies]
    handler = signal.getsignal(signal.SIGTERM)
    with Rollouts("toy_guess", LIMITS, threads=4, workers=2) as there:
        assert signal.getsignal(signal.SIGTERM) is handler
        played = [there(policy, tasks, group=2, seed=1) for policy in policies]
        assert len({p.ppid() for p in actors(cluster)}) == 2
    assert list(map(timeless, played)) == list(map(timeless, expected))
    assert all(episode.verified for episode in played[1])
    assert not ray.is_initialized()
    assert_nothing_is_left(cluster)


def test_a_lost_worker_costs_its_episodes_another_try(cluster: Any):
    killed: list[int] = []

    def guess(chat: list[Message]) -> str:
        # In mid-episode, once.
        if len(chat) > 2 and not killed:
            killed.extend(p.pid for p in actors(cluster)[:1])
            os.kill(killed[0], signal.SIGKILL)
        return half(chat)

    with Rollouts("toy_guess", LIMITS, threads=4, workers=2) as play:
        tasks = play.env.tasks("train", 2)[:10]
        episodes = play(ScriptedPolicy(guess), tasks, group=4, seed=1)
        assert all(episode.verified for episode in episodes)
        assert killed
        # It is placed again.
        deadline = time.monotonic() + 60
        while len(actors(cluster)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert all(
            e.verified for e in play(ScriptedPolicy(half), tasks, group=1, seed=1)
        )


def test_an_episode_that_kills_its_workers_has_no_verdict(cluster: Any):
    def guess(chat: list[Message]) -> str:
        if chat[0]["content"] == bad.prompt:
            for process in actors(cluster):
                process.kill()
        return half(chat)

    with Rollouts("toy_guess", LIMITS, threads=1, workers=1) as play:
        bad, good = play.env.tasks("train", 2)[:21:20]
        episodes = play(ScriptedPolicy(guess), [bad, good], group=1, seed=1)
    assert [episode.errored for episode in episodes] == [True, False]
    assert episodes[0].error.startswith("WorkerLostError: 4 times: ")
    assert episodes[0].env == "scgrpo/toy_guess-v0"


def test_code_runs_in_sandboxes_of_the_workers(cluster: Any):
    config = SandboxConfig("local", size=2)
    try:
        open_pool(config).close()
    except SandboxError as error:
        pytest.skip(f"no sandbox on this machine: {error}")
    with Rollouts("code_fn", LIMITS, sandbox=config, threads=2, workers=2) as play:
        tasks = play.env.tasks("train", 0)[:2]
        solutions = {task.prompt: play.env.oracle(task) for task in tasks}

        below: set[str] = set()

        def solve(chat: list[Message]) -> str:
            for process in actors(cluster):
                with suppress(psutil.Error):
                    below.update(p.name() for p in process.children(recursive=True))
            turns = next(solutions[m["content"]] for m in chat if m["role"] == "user")
            return turns[sum(m["role"] == "assistant" for m in chat)]

        episodes = play(ScriptedPolicy(solve), tasks, group=1, seed=1)
    assert "bwrap" in below
    assert [episode.verified for episode in episodes] == [True, True]
    assert_nothing_is_left(cluster)


def test_a_cluster_without_room_is_refused(cluster: Any, monkeypatch):
    monkeypatch.setattr(workers_module, "WAIT_S", 1.0)
    with pytest.raises(CommandError, match="no room for 9 rollout workers of one core"):
        Rollouts("toy_guess", LIMITS, workers=9)
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_no_cluster_is_refused(monkeypatch, address: str):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ValueError, match=f"no Ray cluster answers at {address}"):
        Rollouts("toy_guess", LIMITS, workers=1)


def test_what_a_node_lacks_is_said(cluster: Any):
    sandbox = SandboxConfig("docker", hosts=("unix:///no/such.sock",))
    with pytest.raises(CommandError, match="no/such.sock"):
        Rollouts("swe_lite", LIMITS, sandbox=sandbox, workers=1)
    assert_nothing_is_left(cluster)


def test_a_killed_node_costs_no_episode_of_a_run(cluster: Any, tmp_path: Path):
    tiny = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    settings = [
        "env=toy_guess",
        f"model={tiny}",
        f"runs={tmp_path}",
        "name=run",
        f"max_steps={STEPS}",
        f"tasks_per_step={TASKS}",
        f"group_size={GROUP}",
        "levels=0",
        "limits.turn_tokens=3",
        "limits.episode_tokens=160",
        "warm_start.mode=never",
        "device=cpu",
        "dtype=float32",
        "rollout_workers=2",
    ]
    command = [sys.executable, "-m", "scgrpo.train", *settings]
    metrics = tmp_path / "run" / "metrics.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while len(read_metrics(metrics)) < 3:
            assert run.poll() is None, run.communicate()
            time.sleep(0.1)
        assert len(actors(cluster)) == 2
        # Where the run's own driver is not.
        other = cluster.list_all_nodes()[-1]
        cluster.remove_node(other, allow_graceful=False)
        _, messages = run.communicate(timeout=400)
    assert run.returncode == 0, messages
    assert "a rollout worker is lost" in messages
    rows = read_metrics(metrics)
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    files = sorted((tmp_path / "run" / "episodes").glob("step-*.jsonl"))
    episodes = [episode for file in files for episode in read_episodes(file)]
    assert len(episodes) == STEPS * TASKS * GROUP
    assert all(episode.verdict is not None for episode in episodes)
    assert_nothing_is_left(cluster)
