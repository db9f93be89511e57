"""An evaluation against its generation alone: the same turns from the same tiny model."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks import CLOCKS, Row, clocks, ratio_of_pairs
from envs.rollout import Limits
from envs.types import Episode
from evals.episodes import evaluate
from evals.suites import Cell, choose
from evals.table import compare
from scgrpo import models
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts

ROUNDS = 15
TASKS, ROLLOUTS = 24, 4
THREADS = 32
CELL = Cell("toy_guess", 4, "id")
LIMITS = Limits(turn_tokens=32, episode_tokens=1024)


def say_again(policy: HFPolicy, episode: Episode) -> None:
    """The turns of an episode at their seed, and nothing else that an evaluation does."""
    opened = policy.begin(episode.messages, episode.tools, limits=LIMITS, seed=episode.seed)
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
        for done in [threads.submit(say_again, policy, episode) for episode in episodes]:
            done.result()


def main() -> list[Row]:
    """Plays, verifies, saves and counts, on a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, numbers = Path(scratch), itertools.count()
        model, tokenizer = models.load(models.make_tiny(folder / "model"))
        with (
            HFPolicy(model, tokenizer, slots=THREADS, cache_tokens=LIMITS.episode_tokens) as policy,
            Rollouts(CELL.env, LIMITS, threads=THREADS) as play,
        ):
            tasks = choose(CELL, play.env.tasks(CELL.split, CELL.level), TASKS, seed=0)

            def evaluation() -> list[list[Episode]]:
                path = folder / f"{next(numbers)}.jsonl"
                done = evaluate(policy, play, CELL, tasks, rollouts=ROLLOUTS, seed=0, path=path)
                compare(CELL, tasks, {"model": done}, ROLLOUTS)
                return done

            episodes = [episode for group in evaluation() for episode in group]
            pairs = [
                (seconds(evaluation), seconds(lambda: generate(policy, episodes)))
                for _ in range(ROUNDS)
            ]
    name = f"{len(episodes)} episodes, played and counted"
    rows = []
    for i, clock in enumerate(CLOCKS):
        ratio, interval = ratio_of_pairs([(whole[i], part[i]) for whole, part in pairs])
        rows.append(
            Row(
                benchmark="evals",
                name=f"{name}, {clock}",
                value=1000 * float(np.median([whole[i] for whole, _ in pairs])),
                unit="ms",
                ratio=ratio,
                against="generation alone",
                interval=interval,
            )
        )
    return rows
