"""What an episode costs in an SC-GRPO step, by group size, episodes, turns and length of a turn.

One quantity changes at a time; all steps are made in turn, round after round. Every group has both
outcomes, so that every episode is learned from and has a reference. The episodes are of a
conversation that goes on for a fixed number of turns, each of which a model fills to its limit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks import Goal, Row, clocks, comparison, measurement
from benchmarks.tools.step import Step, with_both_outcomes
from benchmarks.tools.story import STORY
from envs.rollout import Limits
from scgrpo.algorithms.presets import SC_GRPO
from scgrpo.models.load import default_device, default_dtype, load_model
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.training.optimizer import MasterAdamW

ROUNDS = 5
SLOTS = 32
EPISODE_TOKENS = 640
UNIT = "ms an episode"
GOAL = Goal("<=", 1.0)


@dataclass(frozen=True)
class Point:
    """A step.

    | field | meaning |
    |---|---|
    | group | episodes of a task |
    | episodes | of all tasks |
    | turns | of each episode |
    | length | most new tokens in a turn |
    """

    group: int = 8
    episodes: int = 16
    turns: int = 2
    length: int = 24

    def __str__(self) -> str:
        tasks = self.episodes // self.group
        return f"{tasks} x {self.group} episodes of {self.turns} turns of {self.length}"


BASE = Point()
CURVES: Mapping[str, tuple[str, Sequence[int]]] = {
    "group": ("group size", (4, 8, 16)),
    "episodes": ("episodes a step", (8, 16, 32)),
    "turns": ("turns an episode", (1, 2, 4)),
    "length": ("tokens a turn", (12, 24, 48)),
}
"""By the field of `Point` that changes: the curve's name, and its values."""


def main(rounds: int | None = None) -> list[Row]:
    """Needs the default model: the hub, pip or its cache."""
    return measure(resolve_model("auto"), default_dtype(), rounds or ROUNDS)


def measure(folder: Path, dtype: torch.dtype, rounds: int) -> list[Row]:
    """Times a step of each point in turn, round after round."""
    model, tokenizer = load_model(folder, dtype=dtype)
    model.to(default_device())
    optimizer = MasterAdamW(model.parameters(), lr=1e-5)
    points = dict.fromkeys(
        replace(BASE, **{name: value})
        for name, (_, values) in CURVES.items()
        for value in values
    )
    times: dict[Point, list[np.ndarray]] = {point: [] for point in points}
    with HFPolicy(model, tokenizer, slots=SLOTS, cache_tokens=EPISODE_TOKENS) as policy:
        # What is loaded or compiled once belongs to no point.
        _seconds(BASE, policy, optimizer)
        for number in range(rounds):
            for point in points:
                seconds = _seconds(point, policy, optimizer)
                times[point].append(1000 * seconds / point.episodes)
            print(f"[bench] scaling: round {number + 1} of {rounds}", file=sys.stderr)

    rows: list[Row] = []
    for name, (curve, values) in CURVES.items():
        by_value = {value: times[replace(BASE, **{name: value})] for value in values}
        rows += _curve_rows(name, curve, by_value)
    return rows


def _seconds(point: Point, policy: HFPolicy, optimizer: MasterAdamW) -> np.ndarray:
    """Of the point's step, rollout and update, by each of `CLOCKS`."""
    limits = Limits(turn_tokens=point.length, episode_tokens=EPISODE_TOKENS)
    with Rollouts(STORY, limits) as play:
        tasks = play.env.tasks("train", point.turns)[: point.episodes // point.group]
        step = Step(
            SC_GRPO, policy, play, tasks, point.group, EPISODE_TOKENS, optimizer
        )
        begun = clocks()
        step.recorded = with_both_outcomes(step.rollout())
        step.update()
        return clocks() - begun


def _curve_rows(
    name: str, curve: str, times: Mapping[int, Sequence[np.ndarray]]
) -> list[Row]:
    """A row for each value of the curve; those after the first are compared with it."""
    (first, first_times), *others = times.items()
    label = str(replace(BASE, **{name: first}))
    rows = [
        measurement(
            "scaling",
            f"{curve} {first}: {label}",
            UNIT,
            [float(wall) for wall, _ in first_times],
            cores=_cores(first_times),
            place=(curve, first),
        )
    ]
    for value, of_value in others:
        label = str(replace(BASE, **{name: value}))
        pairs: list[tuple[float, float]] = []
        for (wall, _), (first_wall, _) in zip(of_value, first_times, strict=True):
            pairs.append((float(wall), float(first_wall)))
        is_goal = name == "group" and value == max(times)
        row = comparison(
            "scaling",
            f"{curve} {value}: {label}",
            UNIT,
            pairs,
            f"{curve} {first}",
            goal=GOAL if is_goal else None,
            cores=_cores(of_value),
            place=(curve, value),
        )
        rows.append(row)
    return rows


def _cores(times: Sequence[np.ndarray]) -> float:
    return float(np.median([processor / wall for wall, processor in times]))
