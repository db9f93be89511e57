"""`plan=true`: what a run would cost in tokens, passes, memory, sandboxes and time."""

from __future__ import annotations

import inspect
import math
import statistics
import time
from pathlib import Path

import torch

from envs import registry
from sandboxes.limits import compose_limits
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import TrainConfig
from scgrpo.credit.rule import reference_passes
from scgrpo.devices import device_of, dtype_of
from scgrpo.distributed.ranks import launched_processes
from scgrpo.models.load import load_config
from scgrpo.models.sources.folders import resolve_model
from scgrpo.preflight.engine import with_engine
from scgrpo.preflight.gaps import planned_gap
from scgrpo.preflight.memory import (
    Size,
    available_memory_mib,
    engine_memory_mib,
    model_size,
    phases,
)
from scgrpo.preflight.run import check_run
from scgrpo.runs.folders import CONFIG, all_runs
from scgrpo.runs.log import METRICS, read_metrics
from scgrpo.settings import parse as settings

__all__ = ["text"]

FILLED = 0.5  # of the token budget, by an ordinary episode
DECODING = 0.1  # of the speed of a large product, while tokens are written one by one
PROBE_S = 0.3
SAME_SETTINGS = (
    "env",
    "model",
    "algo",
    "tasks_per_step",
    "group_size",
    "ahead",
    "updates_per_batch",
    "mini_batches",
    "kl_coefficient",
    "levels",
    "limits",
    "agent",
    "lora",
    "dtype",
)


def text(config: TrainConfig) -> str:
    """The plan, a line for each number. Raises ValueError as the run itself would."""
    config = with_engine(config, launched_processes()[0])
    check_run(config)
    env = registry.make(config.env).unwrapped
    size = model_size(load_config(resolve_model(config.model)), config.lora.rank)
    passes = _passes(config)
    episodes = config.tasks_per_step * config.group_size
    max_tokens = episodes * config.limits.episode_tokens
    lines = [
        f"model       {size.parameters / 1e6:.0f} million parameters, "
        f"{size.trained / 1e6:.1f} million of them trained",
        f"episodes    {config.max_steps} steps of {config.tasks_per_step} x {config.group_size}: "
        f"{config.max_steps * episodes}",
        f"tokens      at most {max_tokens:,} a step, "
        f"{max_tokens * config.max_steps:,} in all",
        f"passes      of each episode a step: {', '.join(passes)}",
        *_memory(config, size),
        f"sandboxes   {_sandboxes(config, env)}",
        f"time        {_time(config, size)}",
    ]
    if config.validation.every:
        count = config.max_steps // config.validation.every
        tasks = config.validation.tasks
        lines.append(f"validation  {count} times {tasks} episodes of each split")
    if gap := planned_gap(config):
        lines.append(f"gap         {gap}")
    return "\n".join(lines)


def _memory(config: TrainConfig, size: Size) -> list[str]:
    """What each process takes, of what there is, and what an engine of its own takes."""
    processes, sharded = launched_processes()
    memory = phases(config, size, processes=processes, sharded=sharded)
    free = available_memory_mib(device_of(config)) / 1024
    each = f" in each of {processes} processes" if processes > 1 else ""
    parts = [
        f"{memory.held / 1024:.1f} always",
        f"{memory.sampling / 1024:.1f} more to sample",
        f"{memory.learning / 1024:.1f} more to learn",
    ]
    line = f"memory      about {memory.peak / 1024:.1f} GiB at the peak{each}: {', '.join(parts)}"
    if memory.peak / 1024 > free:
        line += f"; only {free:.1f} are free here"
    lines = [line]
    if not config.engine.samples_itself:
        count = _engine_count(config, processes)
        gib = engine_memory_mib(config, size, count) / 1024
        lines.append(
            f"engines     {count}, each about {gib:.1f} GiB of weights and full cache; with less "
            "cache episodes wait"
        )
    return lines


def _engine_count(config: TrainConfig, processes: int) -> int:
    engine = config.engine
    if engine.place == "colocated":
        return processes
    return len(engine.servers) or engine.count


def _passes(config: TrainConfig) -> list[str]:
    """The passes over an episode, in words."""
    algorithm = algorithm_of(config)
    updates = config.updates_per_batch
    times = "once" if updates == 1 else f"{updates} times"
    passes = ["it is written once", f"read {times} by the policy, forward and backward"]
    count = reference_passes(algorithm.credit)
    if count == 1:
        passes.append("once by the policy with the reference")
    elif count:
        passes.append(f"up to {count} times by the policy with a reference")
    if algorithm.distill is not None:
        passes.append(f"{times} by a teacher")
    if config.mini_batches > 1:
        passes.append("once by the policy before its first update")
    if config.kl_coefficient:
        passes.append("once by the frozen model of the KL term")
    return passes


def _sandboxes(config: TrainConfig, env: object) -> str:
    if "sandboxes" not in inspect.signature(type(env)).parameters:
        return "none: the environment runs in this process"
    limits, size = compose_limits(), config.sandbox.resolved_size
    return (
        f"up to {size}, of {limits.memory_mib} MiB, {limits.cpus:g} cores and {limits.pids} "
        f"processes each ({size * limits.memory_mib / 1024:.1f} GiB together)"
    )


def _time(config: TrainConfig, size: Size) -> str:
    """From the newest run alike, else from a product of matrices that is timed now."""
    for run in reversed(all_runs(config.runs)):
        step_s = _past_step_s(config, run)
        if step_s is not None:
            return (
                f"{_span(step_s * config.max_steps)}, at {step_s:.1f} s a step as in {run}; "
                "starting, a warm start and evaluations come on top"
            )

    episodes = config.tasks_per_step * config.group_size
    tokens = FILLED * episodes * config.limits.episode_tokens
    speed = _speed(config, size)
    # A backward pass costs two forward ones; a teacher reads once more for each reference.
    algorithm = algorithm_of(config)
    teacher = reference_passes(algorithm.credit) + (algorithm.distill is not None)
    forward_s = 2 * size.parameters * tokens / speed
    # What later updates are compared with is read once, as is what the KL term is about.
    compared = (config.mini_batches > 1) + (config.kl_coefficient > 0)
    update = 3 * config.updates_per_batch + teacher + compared
    step_s = forward_s * update + forward_s / DECODING
    total_s = step_s * config.max_steps
    # One layer's product says little of a whole step, hence the factor of three either way.
    return (
        f"{_span(total_s / 3)} to {_span(total_s * 3)}: no run of "
        f"these settings in {config.runs}/, so from {speed / 1e9:,.0f} GFLOP/s measured here"
    )


def _past_step_s(config: TrainConfig, run: Path) -> float | None:
    """Median seconds of a step of a run with the same settings, as far as they cost time."""
    try:
        saved = settings.load(TrainConfig, run / CONFIG)
        rows = read_metrics(run / METRICS)
    except ValueError:
        return None

    for name in SAME_SETTINGS:
        if getattr(saved, name) != getattr(config, name):
            return None
    seconds = [row["time/rollout_s"] + row["time/update_s"] for row in rows]
    return statistics.median(seconds) if seconds else None


@torch.no_grad()
def _speed(config: TrainConfig, size: Size) -> float:
    """Floating-point operations a second of a layer's product, in the run's type."""
    dtype, device = dtype_of(config), device_of(config)
    states = torch.ones(512, size.hidden, dtype=dtype, device=device)
    weight = torch.ones(size.hidden, size.inner, dtype=dtype, device=device)
    count = 0
    seconds = 0.0
    started = time.monotonic()
    while seconds < PROBE_S:
        product = states @ weight
        # Reading an element waits for the device.
        product[0, 0].item()
        count += 1
        seconds = time.monotonic() - started
    operations = 2 * 512 * size.hidden * size.inner
    return operations * count / seconds


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
