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

from benchmarks import Goal, Row, clock_rows, clocks
from envs.rollout import Limits
from envs.types import Episode
from evals.evaluation.episodes import evaluate
from evals.evaluation.suites import Suite, select_tasks
from evals.report.scores import compare
from scgrpo.models.load import default_dtype, load_model
from scgrpo.models.sources.folders import resolve_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts


@dataclass(frozen=True)
class Load:
    """The episodes that are played with a model.

    | field | meaning |
    |---|---|
    | model | its name in the table |
    | suite | environment, level and split of the tasks |
    | tasks, rollouts | number of tasks, and of episodes of each |
    | rounds | how often an evaluation and its generation are timed |
    """

    model: str
    suite: Suite
    tasks: int
    rollouts: int
    rounds: int


TINY = Load("a tiny model", Suite("toy_guess", 4, "id"), 24, 4, 15)
DEFAULT = Load("the default model", Suite("toy_guess", 1, "id"), 8, 2, 5)
THREADS = 32
GOAL = Goal("<=", 1.05)
LIMITS = Limits(turn_tokens=32, episode_tokens=1024)


def regenerate(policy: HFPolicy, episode: Episode) -> None:
    """Samples the turns of an episode at their seed, without the rest of an evaluation."""
    opened = policy.begin(
        episode.messages, episode.tools, limits=LIMITS, seed=episode.seed
    )
    with opened as conversation:
        for segment in episode.segments[1:]:
            if segment.source == "policy":
                conversation.generate()
            else:
                conversation.append(segment.text)


def seconds(action: Callable[[], object]) -> np.ndarray:
    """The duration of an action, by each of `CLOCKS`."""
    begun = clocks()
    action()
    return clocks() - begun


def generate(policy: HFPolicy, episodes: Sequence[Episode]) -> None:
    """Samples the turns of all episodes again, at once."""
    with ThreadPoolExecutor(THREADS) as threads:
        futures = [threads.submit(regenerate, policy, episode) for episode in episodes]
        for future in futures:
            future.result()


def main(rounds: int | None = None) -> list[Row]:
    """Plays, verifies, saves and counts. Needs the default model: the hub, pip or its cache."""
    with tempfile.TemporaryDirectory() as scratch:
        tiny = make_tiny(Path(scratch, "model"))
        rows = measure(TINY, tiny, torch.float32, rounds or TINY.rounds)
        default = resolve_model("auto")
        rows += measure(DEFAULT, default, default_dtype(), rounds or DEFAULT.rounds)
    return rows


def measure(load: Load, weights: Path, dtype: torch.dtype, rounds: int) -> list[Row]:
    """Times an evaluation and its generation in turn, round after round."""
    suite = load.suite
    numbers = itertools.count()
    model, tokenizer = load_model(weights, dtype=dtype)
    with (
        tempfile.TemporaryDirectory() as folder,
        HFPolicy(
            model, tokenizer, slots=THREADS, cache_tokens=LIMITS.episode_tokens
        ) as policy,
        Rollouts(suite.env, LIMITS, threads=THREADS) as play,
    ):
        tasks = select_tasks(
            suite, play.env.tasks(suite.split, suite.level), load.tasks, seed=0
        )

        def evaluation() -> list[list[Episode]]:
            # A new file each time: an evaluation plays only what its file lacks.
            path = Path(folder, f"{next(numbers)}.jsonl")
            groups = evaluate(
                policy,
                play,
                suite,
                tasks,
                rollouts=load.rollouts,
                seed=0,
                path=path,
            )
            compare(suite, tasks, {"model": groups}, load.rollouts)
            return groups

        episodes = [episode for group in evaluation() for episode in group]
        times = []
        for _ in range(rounds):
            whole = seconds(evaluation)
            alone = seconds(lambda: generate(policy, episodes))
            times.append((whole, alone))

    name = f"{load.model}, {len(episodes)} episodes"
    against = "generation alone"
    return clock_rows("evals", name, "ms", times, against, goal=GOAL)
