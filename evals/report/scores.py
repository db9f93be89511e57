"""The numbers of a report: what each model did on each suite, and how two models differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from envs.types import Episode, Stop, Task
from evals.evaluation.suites import Suite
from evals.statistics import (
    Estimate,
    pass_at_k,
    pass_hat_k,
    success_difference,
    success_rate,
)
from scgrpo.training.causes import count_causes, describe_long_prompt

__all__ = ["Difference", "Row", "Score", "compare", "outcome_table"]

Groups = Sequence[Sequence[Episode]]


@dataclass(frozen=True)
class Score:
    """What one model did on one suite. Shares and means are over episodes with a verdict.

    | field | meaning |
    |---|---|
    | success | mean success over tasks |
    | pass_at, pass_hat | k -> mean of pass@k and pass^k; NaN if no task has k verdicts |
    | episodes | with a verdict |
    | errors | errored episodes: without a verdict, so no other number counts them |
    | error | what broke in the first of them |
    | prompts_too_long | episodes without room for a turn: no other number counts them |
    | long_prompt | the first of them: its task, its tokens and the budget |
    | malformed | share of the turns without a valid tool call |
    | turns, tokens, seconds | means over episodes; tokens are those that the model wrote |
    | stops | reason -> episodes, errored ones included |
    | tool_calls | mean of valid tool calls over episodes |
    | truncated | share of the turns that ended at the token limit of a turn |
    | causes | cause (see `scgrpo.training.causes`) -> episodes whose first try errored by it, |
    | | those that a later try gave a verdict included |
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
    truncated: float
    causes: Mapping[str, int] = field(default_factory=dict)
    success_bound: float = math.nan
    prompts_too_long: float = 0
    long_prompt: str = ""


@dataclass(frozen=True)
class Difference:
    """Success of the model `after` less that of `before`, paired by task."""

    after: str
    before: str
    estimate: Estimate


@dataclass(frozen=True)
class Row:
    """One suite of an evaluation.

    | field | meaning |
    |---|---|
    | tasks, rollouts | number of tasks, and episodes planned of each |
    | scores | model's label -> what it did, in the order of training |
    | differences | the last model less each earlier one, the nearest first |
    """

    suite: Suite
    tasks: int
    rollouts: int
    scores: Mapping[str, Score]
    differences: tuple[Difference, ...]


def compare(
    suite: Suite,
    tasks: Sequence[Task],
    episodes: Mapping[str, Groups],
    rollouts: int,
    first_tries: Mapping[str, Groups] | None = None,
) -> Row:
    """The row of a suite. `episodes` holds, by model, the episodes of each task in order.

    `first_tries` holds the first try of each, errored or not, if some were played again.
    """
    families = [task.family for task in tasks]
    outcomes = {
        label: outcome_table(groups, rollouts) for label, groups in episodes.items()
    }

    # The models are in the order of training, so the last one is the one to judge.
    *earlier, last = episodes
    differences = []
    for label in reversed(earlier):
        estimate = success_difference(outcomes[label], outcomes[last], families)
        differences.append(Difference(last, label, estimate))

    first = first_tries or episodes
    scores = {
        label: _score(groups, outcomes[label], families, first[label])
        for label, groups in episodes.items()
    }
    return Row(suite, len(tasks), rollouts, scores, tuple(differences))


def outcome_table(
    groups: Groups, rollouts: int, *, errored: float = math.nan
) -> np.ndarray:
    """(N, K) 1 solved, 0 not solved, `errored` if it errored, NaN not played or never begun."""
    table = np.full((len(groups), rollouts), math.nan)
    for i, group in enumerate(groups):
        for j, episode in enumerate(group):
            if episode.verdict is not None:
                table[i, j] = float(episode.verdict.passed)
            elif episode.errored:
                table[i, j] = errored
    return table


def _score(
    groups: Groups, outcomes: np.ndarray, families: Sequence[str], first: Groups
) -> Score:
    episodes = [episode for group in groups for episode in group]
    graded = [e for e in episodes if e.verdict is not None]
    errored = [e for e in episodes if e.errored]
    too_long = [e for e in episodes if e.prompt_too_long]

    # Means are over graded episodes: an errored one ends wherever it broke.
    turns = [turn for e in graded for turn in e.turns]
    malformed = sum(e.malformed for e in graded)
    truncated = sum(turn.cut for turn in turns)
    tokens = sum(turn.length for turn in turns)
    seconds = sum(e.wall_s for e in graded)

    # Of tasks without tools no turn is a tool call, though none is malformed.
    with_tools = [e for e in graded if e.tools]
    tool_calls = sum(len(e.turns) - e.malformed for e in with_tools)

    rollouts = outcomes.shape[1]
    ks = _powers(rollouts)
    failures = outcome_table(first, rollouts, errored=0.0)
    bound = success_rate(failures, families)
    return Score(
        success=success_rate(outcomes, families),
        pass_at={k: _mean(pass_at_k(outcomes, k)) for k in ks},
        pass_hat={k: _mean(pass_hat_k(outcomes, k)) for k in ks},
        episodes=len(graded),
        errors=len(errored),
        error=errored[0].error if errored else "",
        malformed=_ratio(malformed, len(turns)),
        turns=_ratio(len(turns), len(graded)),
        tokens=_ratio(tokens, len(graded)),
        seconds=_ratio(seconds, len(graded)),
        stops={stop.value: sum(e.stop is stop for e in episodes) for stop in Stop},
        tool_calls=_ratio(tool_calls, len(graded)),
        truncated=_ratio(truncated, len(turns)),
        causes=count_causes(episode for group in first for episode in group),
        success_bound=bound.value,
        prompts_too_long=len(too_long),
        long_prompt=describe_long_prompt(too_long[0]) if too_long else "",
    )


def _powers(rollouts: int) -> list[int]:
    """1, 2, 4, ... up to and with `rollouts`."""
    powers = {2**i for i in range(rollouts.bit_length())}
    return sorted(powers | {rollouts})


def _mean(values: np.ndarray) -> float:
    """Mean of the numbers among them; NaN without any."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if len(numbers) else math.nan


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
