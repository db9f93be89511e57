"""The numbers of a report: what each model did on each cell, and how two models differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from envs.types import Episode, Stop, Task
from evals.evaluation.suites import Cell
from evals.statistics import (
    Estimate,
    paired_difference,
    pass_at_k,
    pass_hat_k,
    success_rate,
)
from scgrpo.training.causes import count_causes

__all__ = ["Difference", "Row", "Score", "compare", "outcome_table"]

Groups = Sequence[Sequence[Episode]]


@dataclass(frozen=True)
class Score:
    """What one model did on one cell. Shares and means are over episodes with a verdict.

    | field | meaning |
    |---|---|
    | success | mean success over tasks |
    | pass_at, pass_hat | k -> mean of pass@k and pass^k; NaN where no task has k verdicts |
    | episodes | with a verdict |
    | errors | void episodes: no verdict, so counted apart |
    | error | what broke in the first of them |
    | malformed | share of the turns without a valid tool call |
    | turns, tokens, seconds | means over episodes; tokens are those that the model wrote |
    | tool_calls | mean of valid tool calls over episodes |
    | cut | share of the turns that ended at the token limit of a turn |
    | stops | reason -> episodes, void ones included |
    | causes | cause (see `scgrpo.training.causes`) -> episodes whose first try errored by it, those that |
    | | a later try gave a verdict included |
    | success_bound | `success` if all of these had failed |
    """

    success: Estimate
    pass_at: Mapping[int, float]
    pass_hat: Mapping[int, float]
    episodes: int
    errors: int
    error: str
    malformed: float
    turns: float
    tokens: float
    seconds: float
    stops: Mapping[str, int]
    tool_calls: float
    cut: float
    causes: Mapping[str, int] = field(default_factory=dict)
    success_bound: float = math.nan


@dataclass(frozen=True)
class Difference:
    """Success of the model `after` less that of `before`, paired by task."""

    after: str
    before: str
    estimate: Estimate


@dataclass(frozen=True)
class Row:
    """One cell of an evaluation.

    | field | meaning |
    |---|---|
    | tasks, rollouts | chosen tasks, and episodes planned of each |
    | scores | model's label -> what it did, in the order of training |
    | differences | the last model less each other one, the nearest first |
    """

    cell: Cell
    tasks: int
    rollouts: int
    scores: Mapping[str, Score]
    differences: tuple[Difference, ...]


def compare(
    cell: Cell,
    tasks: Sequence[Task],
    episodes: Mapping[str, Groups],
    rollouts: int,
    first_tries: Mapping[str, Groups] | None = None,
) -> Row:
    """The row of a cell. `episodes` holds, by model, the episodes of each task in order.

    `first_tries` holds the first try of each, errored or not, where some were played again.
    """
    families = [task.family for task in tasks]
    outcomes = {
        label: outcome_table(groups, rollouts) for label, groups in episodes.items()
    }
    *earlier, last = episodes
    differences = tuple(
        Difference(
            last, label, paired_difference(outcomes[label], outcomes[last], families)
        )
        for label in reversed(earlier)
    )
    first = first_tries or episodes
    scores = {
        label: _score(groups, outcomes[label], families, first[label])
        for label, groups in episodes.items()
    }
    return Row(cell, len(tasks), rollouts, scores, differences)


def outcome_table(
    groups: Groups, rollouts: int, *, void: float = math.nan
) -> np.ndarray:
    """(N, K) 1 solved, 0 not solved, `void` without a verdict, NaN not played."""
    table = np.full((len(groups), rollouts), math.nan)
    for i, group in enumerate(groups):
        for j, episode in enumerate(group):
            verdict = episode.verdict
            table[i, j] = void if verdict is None else float(verdict.passed)
    return table


def _score(
    groups: Groups, outcomes: np.ndarray, families: Sequence[str], first: Groups
) -> Score:
    everything = [episode for group in groups for episode in group]
    played = [e for e in everything if e.verdict is not None]
    broken = [e for e in everything if e.verdict is None]
    turns = sum(len(e.turns) for e in played)
    tokens = sum(turn.length for e in played for turn in e.turns)
    ks = _powers(outcomes.shape[1])
    failures = outcome_table(first, outcomes.shape[1], void=0.0)
    return Score(
        success=success_rate(outcomes, families),
        pass_at={k: _mean(pass_at_k(outcomes, k)) for k in ks},
        pass_hat={k: _mean(pass_hat_k(outcomes, k)) for k in ks},
        episodes=len(played),
        errors=len(broken),
        error=broken[0].error if broken else "",
        malformed=_ratio(sum(e.malformed for e in played), turns),
        turns=_ratio(turns, len(played)),
        tokens=_ratio(tokens, len(played)),
        seconds=_ratio(sum(e.wall_s for e in played), len(played)),
        stops={stop.value: sum(e.stop is stop for e in everything) for stop in Stop},
        tool_calls=_ratio(
            sum(len(e.turns) - e.malformed for e in played if e.tools), len(played)
        ),
        cut=_ratio(sum(turn.cut for e in played for turn in e.turns), turns),
        causes=count_causes(episode for group in first for episode in group),
        success_bound=success_rate(failures, families).value,
    )


def _powers(rollouts: int) -> list[int]:
    """1, 2, 4, ... up to and with `rollouts`."""
    return sorted({2**i for i in range(rollouts.bit_length())} | {rollouts})


def _mean(values: np.ndarray) -> float:
    """Of the numbers among them; NaN without any."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if len(numbers) else math.nan


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
