"""An evaluation against its generation alone: the same turns from the same model."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import CLOCKS, Row, clocks, ratio_of_pairs
from envs.rollout import Limits
from envs.types import Episode
from evals.evaluation.episodes import evaluate
from evals.evaluation.suites import Cell, choose
from evals.report.scores import compare
from scgrpo.models.load import default_dtype, load_model, resolve_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts


@dataclass(frozen=True)
class Load:
    """What is played with a model.

    | field | meaning |
    |---|---|
    | model | for the table |
    | cell | whose tasks |
    | tasks, rollouts | how many, and how often each |
    | rounds | of an evaluation and its generation |
    """

    model: str
    cell: Cell
    tasks: int
    rollouts: int
    rounds: int


TINY = Load("a tiny model", Cell("toy_guess", 4, "id"), 24, 4, 15)
DEFAULT = Load("the default model", Cell("toy_guess", 1, "id"), 8, 2, 5)
THREADS = 32
LIMITS = Limits(turn_tokens=32, episode_tokens=1024)


def say_again(policy: HFPolicy, episode: Episode) -> None:
    """The turns of an episode at their seed, and nothing else that an evaluation does."""
    opened = policy.begin(
        episode.messages, episode.tools, limits=LIMITS, seed=episode.seed
    )
    with opened as conversation:
        for segment in episode.segments[1:]:
            if segment.source == "policy":
                conversation.generate()
            else:
                conversation.append(segment.text)


def seconds(deed: Callable[[], object]) -> np.ndarray:
    """How long a deed takes, by each of `CLOCKS`."""
    begun = clocks()
    deed()
    return clocks() - begun


def generate(policy: HFPolicy, episodes: Sequence[Episode]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        for done in [
            threads.submit(say_again, policy, episode) for episode in episodes
        ]:
            done.result()


def main() -> list[Row]:
    """Plays, verifies, saves and counts. Needs the default model: the hub, pip or its cache."""
    with tempfile.TemporaryDirectory() as scratch:
        tiny = make_tiny(Path(scratch, "model"))
        return [
            *measured(TINY, tiny, torch.float32),
            *measured(DEFAULT, resolve_model("auto"), default_dtype()),
        ]


def measured(load: Load, weights: Path, dtype: torch.dtype) -> list[Row]:
    """An evaluation and its generation in turn, round after round."""
    cell, numbers = load.cell, itertools.count()
    model, tokenizer = load_model(weights, dtype=dtype)
    with (
        tempfile.TemporaryDirectory() as folder,
        HFPolicy(
            model, tokenizer, slots=THREADS, cache_tokens=LIMITS.episode_tokens
        ) as policy,
        Rollouts(cell.env, LIMITS, threads=THREADS) as play,
    ):
        tasks = choose(cell, play.env.tasks(cell.split, cell.level), load.tasks, seed=0)

        def evaluation() -> list[list[Episode]]:
            path, rollouts = Path(folder, f"{next(numbers)}.jsonl"), load.rollouts
            done = evaluate(
                policy, play, cell, tasks, rollouts=rollouts, seed=0, path=path
            )
            compare(cell, tasks, {"model": done}, rollouts)
            return done

        episodes = [episode for group in evaluation() for episode in group]
        pairs = [
            (seconds(evaluation), seconds(lambda: generate(policy, episodes)))
            for _ in range(load.rounds)
        ]
    return [
        row(
            f"{load.model}, {len(episodes)} episodes, {clock}",
            [(a[i], b[i]) for a, b in pairs],
        )
        for i, clock in enumerate(CLOCKS)
    ]


def row(name: str, pairs: Sequence[tuple[float, float]]) -> Row:
    """From the seconds of (the evaluation, its generation) in each round."""
    ratio, interval = ratio_of_pairs(pairs)
    return Row(
        benchmark="evals",
        name=name,
        value=1000 * float(np.median([whole for whole, _ in pairs])),
        unit="ms",
        ratio=ratio,
        against="generation alone",
        interval=interval,
    )
