"""Runs that start their servers: as many as were asked for, which follow the weights and end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scgrpo.models.tiny import make_tiny
from scgrpo.policies.engines.network import free_port
from scgrpo.policies.engines.started import ROOT
from scgrpo.runs.log import read_metrics
from tests.scgrpo.policies.engines.small_vllm import importable

STEPS = 2


def commands_with(text: str) -> Iterator[str]:
    """Command lines of living processes that have the text in them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if text in line:
            yield line


@pytest.mark.daily(1)  # each starts a run with its servers
@pytest.mark.parametrize(
    ("processes", "servers", "settings"),
    [
        (1, 2, ["engine.place=apart", "engine.count=2"]),
        (1, 1, ["engine.place=colocated"]),
        (2, 2, ["engine.place=colocated"]),
        (2, 1, ["engine.place=apart", "engine.handover=gloo"]),
    ],
    ids=["two-apart", "colocated", "two-colocated", "two-processes-apart"],
)
def test_a_run_starts_its_servers_and_ends_them(
    tmp_path: Path, processes: int, servers: int, settings: list[str]
):
    model = make_tiny(tmp_path / "tiny", hidden=32, layers=1, heads=2)
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["accelerate.commands.launch", "--multi_gpu", "--num_processes"]
        start += [str(processes), "--main_process_port", str(free_port()), "-m"]
    done = subprocess.run(
        [
            *start, "scgrpo.train", "env=toy_guess", f"model={model}", f"runs={tmp_path}",
            "name=run", "levels=0", "tasks_per_step=2", "group_size=3", "lr=1e-2",
            "limits.turn_tokens=4", "limits.episode_tokens=160", "warm_start.mode=never",
            f"max_steps={STEPS}", "device=cpu", "dtype=float32", *settings,
        ],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), importable(tmp_path / "packages")]),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    # The second step was sampled by the weights that the first one made.
    assert rows[0]["train/gradient_norm"] > 0
    assert all(row.get("train/logprob_mismatch", 0.0) < 1e-3 for row in rows)
    logs = list((tmp_path / "run" / "engines").iterdir())
    assert len(logs) == servers
    assert list(commands_with(str(model))) == []
