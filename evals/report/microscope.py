"""Saved episodes as plain data for the episode browser of the HTML report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from envs.identity import base_id
from envs.mixtures.names import is_mixture
from envs.store import read_episodes
from envs.types import Episode, Segment
from evals.comparison.results import episode_files
from evals.credit_test.tokens import token_texts
from scgrpo.credit.record import CreditRow, read_step, saved_steps

__all__ = ["MAX_CHARACTERS", "TRAINING", "evaluation_episodes", "training_episodes"]

MAX_CHARACTERS = 20_000
TRAINING = "in training"
"""Stands for the model of a training step's episodes."""

Item = TypeVar("Item")
CreditedEpisode = tuple[Episode, CreditRow]
VERDICTS = {True: "solved", False: "not solved", None: "errored"}


def training_episodes(
    run: Path, label: str, env: str, count: int
) -> list[dict[str, Any]]:
    """About `count` episodes of a run, in whole groups, from steps spread evenly over it.

    JSON-able. The prompt and each reply are shortened to `MAX_CHARACTERS`. Raises ValueError for
    files that do not fit together.
    """
    text_of = token_texts(run)
    steps = saved_steps(run)
    if not steps:
        return []

    # The last step stands for the size of all.
    per_step = len(read_step(run, steps[-1]))
    number = max(1, count // max(1, per_step))
    rows: list[dict[str, Any]] = []
    for step in _spread(steps, number):
        room = count - len(rows)
        for episode, credit in _whole_groups(read_step(run, step), room):
            about = {"run": label, "env": _env_of(episode, env)}
            about |= {"model": TRAINING, "step": step}
            row = _row(episode, credit, text_of)
            rows.append({**about, **row})
    return rows


def _env_of(episode: Episode, env: str) -> str:
    """The run's environment; of a mixture the one that played the episode."""
    own = base_id(episode.env).rpartition("/")[2]
    return own if is_mixture(env) and own else env


def evaluation_episodes(
    run: Path, label: str, report: Path, count: int
) -> list[dict[str, Any]]:
    """About `count` episodes of an evaluation, all of a task, evenly from its models and suites.

    As `training_episodes` gives them, without credit and with None for a step.
    """
    text_of = token_texts(run)
    files = list(episode_files(report))
    shown = _spread(files, count)
    per_file = count // max(1, len(shown))
    rows: list[dict[str, Any]] = []
    for model, suite, path in shown:
        about = {"run": label, "env": suite.env, "model": model, "step": None}
        # An evaluation gives no credit.
        episodes = []
        for place, episode in enumerate(read_episodes(path)):
            credit = CreditRow(place, group=None, case="")
            episodes.append((episode, credit))
        for episode, credit in _whole_groups(episodes, per_file):
            row = _row(episode, credit, text_of)
            rows.append({**about, **row})
    return rows


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of them, evenly, with the last and (from two on) the first."""
    if count >= len(items):
        return list(items)
    if count == 1:
        return [items[-1]]
    last = len(items) - 1
    return [items[round(i * last / (count - 1))] for i in range(count)]


def _whole_groups(
    episodes: Sequence[CreditedEpisode], room: int
) -> list[CreditedEpisode]:
    """The first groups that fit, at least one; without credit a group is a task's episodes."""
    groups: dict[Any, list[CreditedEpisode]] = {}
    for episode, credit in episodes:
        key = episode.task.id if credit.group is None else credit.group
        groups.setdefault(key, []).append((episode, credit))

    chosen: list[CreditedEpisode] = []
    for group in groups.values():
        size = len(chosen) + len(group)
        if chosen and size > room:
            break
        chosen += group
    return sorted(chosen, key=lambda pair: pair[1].episode)


def _row(
    episode: Episode, credit: CreditRow, text_of: Callable[[int], str]
) -> dict[str, Any]:
    # Credit is one list over the action tokens of all turns.
    segments, start = [], 0
    for segment in episode.segments:
        tokens = len(segment.token_ids) if segment.source == "policy" else 0
        end = start + tokens
        segments.append(_segment(segment, credit, start, end, text_of))
        start = end

    verdict = episode.verdict
    return {
        "place": credit.episode,
        "task": episode.task.id,
        "level": episode.task.level,
        "family": episode.task.family,
        "verdict": VERDICTS[episode.verified],
        "score": None if verdict is None else verdict.score,
        "detail": _shorten(episode.error if verdict is None else verdict.detail),
        "stop": episode.stop.sentence,
        "reference": credit.reference,
        "case": credit.case,
        "advantage": _round(credit.advantage),
        "segments": segments,
    }


def _segment(
    segment: Segment,
    credit: CreditRow,
    start: int,
    end: int,
    text_of: Callable[[int], str],
) -> dict[str, Any]:
    """Text; of a turn also tokens with log-probability, D and w, which are null if unknown."""
    row: dict[str, Any] = {"source": segment.source, "text": _shorten(segment.text)}
    if segment.source == "policy":
        divergence = credit.divergence[start:end]
        weight = credit.weight[start:end]
        row["tokens"] = [text_of(i) for i in segment.token_ids]
        row["logprob"] = _round_all(segment.logprobs)
        row["d"] = _round_all(divergence) or None
        row["w"] = _round_all(weight) or None
    return row


def _round_all(values: Sequence[float]) -> list[float | None]:
    return [_round(value) for value in values]


def _round(value: float | None) -> float | None:
    """Four digits: what a reader sees."""
    if value is None:
        return None
    return float(f"{value:.4g}")


def _shorten(text: str) -> str:
    rest = len(text) - MAX_CHARACTERS
    if rest <= 0:
        return text
    return f"{text[:MAX_CHARACTERS]}\n[{rest} characters left out]"
