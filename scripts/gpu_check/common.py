"""What the checks share: sizes, random models, clocks and memory of a device."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from envs.types import Episode, Segment, Stop, Task, Verdict

GIB = 2**30


@dataclass(frozen=True)
class Setup:
    """Where a check runs, and how large.

    | field | meaning |
    |---|---|
    | device | what is checked |
    | tiny | a dry run: a model of some kilobytes, and few tokens |
    """

    device: torch.device
    tiny: bool

    @property
    def dtype(self) -> torch.dtype:
        """What models compute in there: bf16, in a dry run on a CPU fp32."""
        return torch.float32 if self.tiny else torch.bfloat16

    def size(self, full: int, tiny: int) -> int:
        """A number of tokens, rows or repetitions."""
        return tiny if self.tiny else full


def qwen3(setup: Setup, name: str, *, layers: int | None = None) -> Any:
    """A random model of Qwen3's sizes, made on the device; `name` is 1.7B or 8B."""
    sizes = {
        "1.7B": (2048, 6144, 28, 16, True),
        "8B": (4096, 12_288, 36, 32, False),
    }
    hidden, inner, depth, heads, tied = sizes[name]
    options: dict[str, Any] = {
        "vocab_size": 151_936,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers or depth,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40_960,
        "tie_word_embeddings": tied,
    }
    if setup.tiny:
        options |= {
            "vocab_size": 128,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
        }
    torch.manual_seed(0)
    with torch.device(setup.device):
        model = AutoModelForCausalLM.from_config(
            Qwen3Config(**options), dtype=setup.dtype
        )
    return model.eval()


def random_episodes(
    setup: Setup, lengths: Sequence[int], prompt: int, vocabulary: int
) -> list[Episode]:
    """One group of episodes with one turn each, of random tokens; every second one succeeds."""
    generator = torch.Generator().manual_seed(0)

    def ids(count: int) -> tuple[int, ...]:
        drawn = torch.randint(3, vocabulary, (count,), generator=generator)
        return tuple(drawn.tolist())

    task = Task("train/0/0", "train", 0, "random", "?")
    opening = Segment("prompt", "?", ids(prompt))
    episodes: list[Episode] = []
    for i, length in enumerate(lengths):
        turn = Segment("policy", "x", ids(length), (-1.0,) * length)
        passed = i % 2 == 0
        verdict = Verdict(passed, float(passed))
        episodes.append(Episode(task, (), (), (opening, turn), Stop.FINISHED, verdict))
    return episodes


def synchronize(device: torch.device) -> None:
    """Waits for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(setup: Setup, work: Callable[[], object], repeats: int = 3) -> float:
    """The shortest of some runs, after one that is not counted."""
    work()
    shortest = float("inf")
    for _ in range(1 if setup.tiny else repeats):
        synchronize(setup.device)
        began = time.perf_counter()
        work()
        synchronize(setup.device)
        shortest = min(shortest, time.perf_counter() - began)
    return shortest


@contextmanager
def peak_gib(setup: Setup, into: dict[str, float], name: str) -> Iterator[None]:
    """Adds the device's peak of memory in the block to `into`; 0 on a CPU."""
    gc.collect()
    if setup.device.type != "cuda":
        yield
        into[name] = 0.0
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(setup.device)
    try:
        yield
    finally:
        synchronize(setup.device)
        into[name] = torch.cuda.max_memory_allocated(setup.device) / GIB
