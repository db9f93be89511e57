"""Runs whose episodes vLLM samples, or several GPUs: each step's weights reach what samples.

A run refuses an engine by itself whose digests, log-probabilities or draws are not the trainer's,
so that a run which ends has been checked at each step.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import Setup

from scgrpo.models.tiny import make_tiny
from scgrpo.runs.log import METRICS, read_metrics
from scgrpo.runs.stages import stage_totals

STEPS = 3
MISMATCH = 0.05
"""Nats a token between engine and trainer, in bf16."""
PATIENCE_S = 500
POLL_S = 2.0
EXPECTED = (
    f"each run takes its {STEPS} steps, and its engine's log-probabilities are within {MISMATCH} "
    "nats of the trainer's"
)

ONE_GPU = {
    "in_the_process": ("engine.kind=vllm",),
    "in_the_process_sleeping": ("engine.kind=vllm", "engine.sleep=true"),
    "colocated_by_disk": ("engine.place=colocated",),
    "colocated_by_ipc": ("engine.place=colocated", "engine.handover=nccl"),
}
TWO_GPUS = {
    "apart_by_nccl": (1, ("engine.place=apart", "engine.handover=nccl")),
    "two_processes_colocated": (2, ("engine.place=colocated", "engine.handover=nccl")),
}
THREE_GPUS = {
    "tensor_parallel": (
        1,
        ("engine.place=apart", "engine.options.tensor_parallel_size=2"),
    ),
}
ON_A_CPU = {
    "apart_by_disk": ("engine.place=apart",),
    "apart_by_gloo": ("engine.place=apart", "engine.handover=gloo"),
    "colocated_asleep": ("engine.place=colocated",),
}
"""A dry run: started servers, with the hand-overs that need no GPU."""


def engines(setup: Setup) -> dict[str, Any]:
    """vLLM on the GPU that is trained on: in the process, and as a server next to it."""
    python = os.environ.get("VLLM_PYTHON", "")
    if not python and find_spec("vllm") is None:
        return {"skipped": "vLLM is not installed here, nor named by VLLM_PYTHON"}
    runs = ONE_GPU if setup.device.type == "cuda" else ON_A_CPU
    results: dict[str, Any] = {}
    for name, arguments in runs.items():
        if not python:
            results[name] = _run(setup, arguments)
        elif any("engine.place" in argument for argument in arguments):
            results[name] = _run(setup, (*arguments, f"engine.python={python}"))
    return _verdict(results)


def two_gpus(setup: Setup) -> dict[str, Any]:
    """Servers on other GPUs, and two processes: with servers, and with the model sampling."""
    count = torch.cuda.device_count()
    if count < 2:
        return {"skipped": f"this machine has {count} GPUs"}
    results: dict[str, Any] = {}
    itself = ("engine.kind=hf",)
    results["two_processes"] = _run(setup, itself, processes=2, watch=True)
    if find_spec("vllm") is not None:
        runs = TWO_GPUS | (THREE_GPUS if count > 2 else {})
        for name, (processes, arguments) in runs.items():
            results[name] = _run(setup, arguments, processes=processes)
    return _verdict(results)


def _verdict(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    failed = [name for name, result in results.items() if "error" in result]
    return {"passed": not failed, "runs": results, "expected": EXPECTED}


def _run(
    setup: Setup, arguments: Sequence[str], *, processes: int = 1, watch: bool = False
) -> dict[str, Any]:
    """Numbers of a run with these settings; an `error` if it did not do what is expected."""
    with TemporaryDirectory() as folder:
        # Heads of 64, since kernels of engines are made for some widths alone.
        model = make_tiny(Path(folder) / "tiny", hidden=256, layers=2, heads=4)
        command = [*_launcher(processes), "-m", "scgrpo.train", "env=toy_guess"]
        command += [f"model={model}", f"runs={folder}", "name=run", "profile=true"]
        command += ["levels=0", "tasks_per_step=2", "group_size=4", "lr=1e-3"]
        command += ["limits.turn_tokens=4", "limits.episode_tokens=160"]
        command += ["warm_start.mode=never", f"max_steps={STEPS}", *arguments]
        if setup.tiny:
            command += ["device=cpu", "dtype=float32"]
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        cards: dict[str, set[str]] = {}
        try:
            while watch and process.poll() is None:
                _note_processes(cards)
                time.sleep(POLL_S)
            output, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            output, _ = process.communicate()
        run_s = time.monotonic() - began
        metrics = Path(folder) / "run" / METRICS
        rows = read_metrics(metrics) if metrics.exists() else []
    if process.returncode or len(rows) < STEPS:
        end = " / ".join(output.strip().splitlines()[-5:])
        error = f"ended with {process.returncode} after {len(rows)} steps: {end}"
        return {"error": error[-1500:]}

    totals = stage_totals(rows)
    sync_s = totals["weight_sync"].wall_s / STEPS if "weight_sync" in totals else 0.0
    result: dict[str, Any] = {
        "run_s": round(run_s, 1),
        "weight_sync_s": round(sync_s, 4),
        "tokens_per_s": round(max(row["time/tokens_per_s"] for row in rows), 1),
        "mismatch": max(row.get("train/logprob_mismatch", 0.0) for row in rows),
        "gradient_norm": max(row.get("train/gradient_norm", 0.0) for row in rows),
    }
    if result["mismatch"] > MISMATCH:
        result["error"] = f"log-probabilities differ by {result['mismatch']:.3f} nats"
    if not result["gradient_norm"]:
        result["error"] = "no step changed the weights"
    if watch:
        result["processes_by_gpu"] = {gpu: len(pids) for gpu, pids in cards.items()}
        if any(len(pids) > 1 for pids in cards.values()):
            result["error"] = "a process has memory on another one's GPU"
    return result


def _launcher(processes: int) -> list[str]:
    if processes == 1:
        return [sys.executable]
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    sharded = ["--use_fsdp", "--fsdp_version", "2"]
    return [*launcher, *sharded, "--num_processes", str(processes)]


def _note_processes(cards: dict[str, set[str]]) -> None:
    """Adds the processes that have memory on each GPU, as the driver names both."""
    query = ["nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader"]
    listing = subprocess.run(query, capture_output=True, text=True, check=False)
    for line in listing.stdout.splitlines():
        gpu, _, pid = line.partition(",")
        cards.setdefault(gpu.strip(), set()).add(pid.strip())
