"""A decode step of a batch, against what the machine needs for its weights alone.

The floor is measured in each round: reading all weights once, or the step's products at the speed
of a large one, whichever takes longer. It leaves out attention over the cached tokens and sampling,
which the step has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks import Goal, Row, clocks, comparison
from scgrpo.models.decoder import Feed
from scgrpo.models.load import default_device, default_dtype, load_model
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.hf import HFPolicy, _sample

ROUNDS = 15
BATCHES = (32, 8, 2, 1)
SLOTS = max(BATCHES)
GOALS_MS = {32: 55.0, 8: 32.0, 1: 18.0}
CACHED = 300
STEPS = 3
"""Steps of each batch in a round; the first is behind `CACHED` tokens in each row."""
SIDE = 2048
"""Rows and columns of the large product."""


class Decoding:
    """Steps of a policy's batch, without the episodes that wait for their tokens.

    It takes the parts that the policy's own engine steps with, and fills all of its slots.
    """

    def __init__(self, policy: HFPolicy) -> None:
        self._slots = policy._slots
        self._head = policy._head
        self._rng = np.random.default_rng(0)
        self._last = [0] * SLOTS
        vocabulary = policy.model.config.get_text_config().vocab_size
        with torch.inference_mode():
            for slot in range(SLOTS):
                ids = self._rng.integers(vocabulary, size=CACHED).tolist()
                self._slots.feed([Feed(slot, 0, ids)])

    @torch.inference_mode()
    def step(self, rows: int, held: int) -> list[int]:
        """The next token of each of the first `rows` slots, which hold that many tokens."""
        feeds = [Feed(slot, held, [self._last[slot]]) for slot in range(rows)]
        logits = self._head(self._slots.feed(feeds)).float()
        draws = torch.tensor(self._rng.random(rows), device=logits.device)
        tokens, _ = _sample(logits, draws, greedy=False)
        self._last[:rows] = tokens.tolist()
        return self._last[:rows]


class Floor:
    """What the weights of a model cost at least in a step on this machine."""

    def __init__(self, model: PreTrainedModel) -> None:
        weights = list(model.parameters())
        embeddings = model.get_input_embeddings().weight
        output = model.get_output_embeddings()
        # Of embeddings that are not the output layer too, a step reads a row for each token.
        if output is None or output.weight is not embeddings:
            weights = [weight for weight in weights if weight is not embeddings]
        self.weights = sum(p.numel() for p in weights)
        size = self.weights * model.dtype.itemsize
        # Ones, because memory of zeros that was never written is not read.
        self._memory = torch.ones(size // 8, dtype=torch.int64, device=model.device)
        shape = (SIDE, SIDE)
        self._factor = torch.randn(shape, dtype=model.dtype, device=model.device)

    def reading_ms(self) -> float:
        """Of reading as many bytes as the weights have."""
        return _ms(lambda: self._memory.sum().item())

    def product_ms(self) -> float:
        """Of one token's products, at the speed of a large product."""
        large_ms = _ms(lambda: (self._factor @ self._factor)[0, 0].item())
        return large_ms * self.weights / SIDE**3


def main(rounds: int | None = None) -> list[Row]:
    """Needs the default model: the hub, pip or its cache."""
    return measure(resolve_model("auto"), default_dtype(), rounds or ROUNDS)


def measure(folder: Path, dtype: torch.dtype, rounds: int) -> list[Row]:
    """Times the floor and a few steps of each batch in turn, round after round."""
    model, tokenizer = load_model(folder, dtype=dtype)
    model.to(default_device())
    floor = Floor(model)
    reading, products = [], []
    times: dict[int, list[np.ndarray]] = {rows: [] for rows in BATCHES}
    with HFPolicy(model, tokenizer, slots=SLOTS, cache_tokens=CACHED + STEPS) as policy:
        decoding = Decoding(policy)
        for number in range(rounds + 1):
            read_ms, product_ms = floor.reading_ms(), floor.product_ms()
            for rows in BATCHES:
                begun = clocks()
                for taken in range(STEPS):
                    decoding.step(rows, CACHED + taken)
                # The first round warms everything up.
                if number:
                    times[rows].append(1000 * (clocks() - begun) / STEPS)
            if number:
                reading.append(read_ms)
                products.append(product_ms)

    return [_row(rows, times[rows], reading, products) for rows in BATCHES]


def _row(
    rows: int,
    times: Sequence[np.ndarray],
    reading: Sequence[float],
    products: Sequence[float],
) -> Row:
    """A row from milliseconds of each round, of the step by each of `CLOCKS`."""
    of_step = [rows * ms for ms in products]
    is_reading = np.median(reading) >= np.median(of_step)
    floors = reading if is_reading else of_step
    pairs = [(float(wall), ms) for (wall, _), ms in zip(times, floors, strict=True)]
    goal_ms = GOALS_MS.get(rows)
    return comparison(
        "decode",
        f"a step of {rows} of {SLOTS} rows, {CACHED} cached tokens each",
        "ms",
        pairs,
        "floor: weights read once" if is_reading else "floor: the products",
        goal=None if goal_ms is None else Goal("<=", goal_ms, "ours"),
        cores=float(np.median([processor / wall for wall, processor in times])),
    )


def _ms(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begun)
