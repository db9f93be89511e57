"""How fast the device is, and what it waits for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from common import Setup, peak_gib, qwen3, seconds, synchronize
from torch.profiler import ProfilerActivity, profile

from envs.rollout import Limits
from scgrpo.models.decoder import Feed
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.scoring import predicting_states
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts

TOP_KERNELS = 5


def kernels(setup: Setup) -> dict[str, Any]:
    """The kernels of a pass over 1,000 + 12,000 tokens, and causal attention over as many."""
    model = qwen3(setup, "8B", layers=2)
    choose_path(model)
    prefix, branch = (
        list(range(3, 3 + setup.size(1000, 8))),
        [5] * setup.size(12_000, 16),
    )

    def once() -> None:
        with torch.no_grad():
            predicting_states(model, prefix, [branch], [[True] * len(branch)])

    result: dict[str, Any] = {"seconds_a_layer": seconds(setup, once) / 2}
    with peak_gib(setup, result, "peak_gib"):
        once()
    result["kernels_ms"] = _kernels_ms(setup, once)

    heads, groups, width = (32, 8, 128) if not setup.tiny else (4, 2, 8)
    tokens = len(prefix) + len(branch)
    options = {"device": setup.device, "dtype": setup.dtype}
    query = torch.randn(1, heads, tokens, width, **options)
    key, value = (torch.randn(1, groups, tokens, width, **options) for _ in range(2))
    result["causal_seconds_a_layer"] = seconds(
        setup,
        lambda: F.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True
        ),
    )
    return result


def _kernels_ms(setup: Setup, work: Any) -> dict[str, float]:
    """Milliseconds of the kernels that took longest, by name."""
    is_cuda = setup.device.type == "cuda"
    activity = ProfilerActivity.CUDA if is_cuda else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        work()
        synchronize(setup.device)
    times: Counter[str] = Counter()
    for event in profiled.key_averages():
        on_device = getattr(event, "self_device_time_total", 0.0)
        times[event.key[:80]] += on_device if is_cuda else event.self_cpu_time_total
    return {name: ms / 1000 for name, ms in times.most_common(TOP_KERNELS)}


def decoding(setup: Setup) -> dict[str, Any]:
    """Milliseconds, launches and waits of a decoded token, by rows and tokens that they hold."""
    model = qwen3(setup, "1.7B")
    path = choose_path(model)
    result: dict[str, Any] = {"path": path.kind}
    for rows in (8, 32, 64) if not setup.tiny else (2,):
        for length in (1000, 4000, 12_000) if not setup.tiny else (8,):
            name = f"{rows}x{length}"
            try:
                result[name] = _decoded(setup, model, path, rows, length)
            except torch.OutOfMemoryError:
                result[name] = "does not fit"
    return result


def _decoded(setup: Setup, model: Any, path: Any, rows: int, length: int) -> Any:
    steps = setup.size(20, 3)
    with torch.inference_mode():
        slots = path.decoder.slots(model, rows, length + 3 * steps)
        slots.feed([Feed(0, 0, [5] * length)])
        for row in range(1, rows):
            slots.copy(0, row, length - 1)
            slots.feed([Feed(row, length - 1, [5])])
        held = length

        def step() -> None:
            nonlocal held
            slots.feed([Feed(row, held, [5]) for row in range(rows)])
            held += 1

        for _ in range(3):
            step()
        synchronize(setup.device)
        began = time.perf_counter()
        for _ in range(steps):
            step()
        synchronize(setup.device)
        numbers = {"ms": 1000 * (time.perf_counter() - began) / steps}
        if setup.device.type == "cuda":
            numbers |= _calls(step)
    return numbers


def _calls(step: Any) -> dict[str, int]:
    """How often a step launches a kernel and waits for the device."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        step()
        torch.cuda.synchronize()
    counts = {event.key: event.count for event in profiled.key_averages()}
    launches = sum(n for name, n in counts.items() if "LaunchKernel" in name)
    waits = sum(n for name, n in counts.items() if "StreamSynchronize" in name)
    return {"launches": launches, "waits": waits}


def wide(setup: Setup) -> dict[str, Any]:
    """Tokens a second of a tiny model with 64, 256 and 1,024 episodes at once."""
    result: dict[str, Any] = {
        "expected": "no fewer tokens a second with 1,024 than with 64"
    }
    widths = (64, 256, 1024) if not setup.tiny else (4, 8)
    with TemporaryDirectory() as folder:
        model, tokenizer = load_model(make_tiny(Path(folder) / "tiny"))
        model.to(setup.device)
        limits = Limits(turn_tokens=setup.size(64, 4), episode_tokens=400)
        for width in widths:
            with (
                Rollouts("toy_guess", limits, threads=width) as play,
                HFPolicy(model, tokenizer, slots=width, cache_tokens=400) as policy,
            ):
                tasks = play.env.tasks("train", 0)[: width // 4]
                group = -(-width // len(tasks))
                began = time.perf_counter()
                episodes = play(policy, tasks, group=group, seed=0)
                took = time.perf_counter() - began
                tokens = sum(sum(episode.action_mask) for episode in episodes)
                result[f"{width}"] = {
                    "tokens_a_second": tokens / took,
                    "threads": threading.active_count(),
                    "errors": sum(episode.verdict is None for episode in episodes),
                }
    first, *_, last = (result[f"{width}"] for width in widths)
    is_faster = last["tokens_a_second"] > 0.8 * first["tokens_a_second"]
    has_errors = any(result[f"{width}"]["errors"] for width in widths)
    return {"passed": (is_faster or setup.tiny) and not has_errors, **result}
