"""Whole runs of a tiny model on the device."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import Setup

from envs.rollout import Limits
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.launch import train
from scgrpo.models.tiny import make_tiny
from scgrpo.runs import checkpoints
from scgrpo.runs.log import read_metrics

LEARNED = 0.25
PATIENCE_S = 300


def learning(setup: Setup) -> dict[str, Any]:
    """Success on the toy before and after training, in float32 and bfloat16."""
    result: dict[str, Any] = {"expected": f"success rises by {LEARNED} at least"}
    rises: list[float] = []
    for dtype in ("float32", "bfloat16") if not setup.tiny else ("float32",):
        with TemporaryDirectory() as folder:
            config = _config(Path(folder), setup, steps=setup.size(340, 2))
            os.environ["SCGRPO_CACHE"] = folder
            run = train(replace(config, dtype=dtype, name=dtype))
            success = [
                row["episodes/success"] for row in read_metrics(run / "metrics.jsonl")
            ]
        start, end = _mean(success[:20]), _mean(success[-20:])
        rises.append(end - start)
        result[dtype] = {"start": start, "end": end}
    return {"passed": setup.tiny or min(rises) > LEARNED, **result}


def resume(setup: Setup) -> dict[str, Any]:
    """A run that is killed after four steps of six, and goes on."""
    with TemporaryDirectory() as folder:
        config = _config(Path(folder), setup, steps=6)
        arguments = [
            *(
                "env=toy_guess",
                f"model={config.model}",
                f"runs={folder}",
                "name=killed",
            ),
            *("warm_start.mode=never", "levels=0", "tasks_per_step=3", "group_size=4"),
            *("limits.turn_tokens=4", "limits.episode_tokens=160", "save_every=2"),
            *("dtype=float32", f"device={setup.device.type}"),
        ]
        command = [sys.executable, "-m", "scgrpo.train", *arguments]
        first = subprocess.Popen([*command, "max_steps=1000000"])
        kept = Path(folder) / "killed" / "checkpoints"
        deadline = time.monotonic() + PATIENCE_S
        while (path := checkpoints.latest(kept)) is None or checkpoints.step_of(
            path
        ) < 4:
            if time.monotonic() > deadline or first.poll() is not None:
                first.kill()
                return {"passed": False, "error": "no checkpoint of step 4"}
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        before = read_metrics(kept.parent / "metrics.jsonl")[-1]["step"]
        steps = before + 3
        again = [sys.executable, "-m", "scgrpo.train", f"runs={folder}", "name=killed"]
        again += ["resume=true", f"max_steps={steps}"]
        done = subprocess.run(again, capture_output=True, text=True, check=False)
        rows = read_metrics(kept.parent / "metrics.jsonl")
        numbers = [row["step"] for row in rows]
        peaks = [row.get("memory/gpu_peak_gib", 0.0) for row in rows]
    return {
        "passed": done.returncode == 0 and numbers == list(range(1, steps + 1)),
        "killed_at": before,
        "ended_at": numbers[-1],
        "peak_before_gib": max(peaks[:before]),
        "peak_after_gib": max(peaks[before:], default=0.0),
        "expected": "every step once, and no higher peak after loading",
    }


def _config(folder: Path, setup: Setup, steps: int) -> TrainConfig:
    return TrainConfig(
        env="toy_guess",
        model=str(make_tiny(folder / "tiny", hidden=64, layers=2, heads=4)),
        max_steps=steps,
        tasks_per_step=8 if not setup.tiny else 2,
        group_size=8 if not setup.tiny else 2,
        lr=1e-3,
        levels=(0,),
        limits=Limits(turn_tokens=4, episode_tokens=160),
        warm_start=WarmStartConfig("always", episodes=18, steps=setup.size(60, 2)),
        device=str(setup.device),
        runs=folder,
        save_every=1000,
    )


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))
