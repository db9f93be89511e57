"""Kept episodes as plain data for the episode browser of the HTML report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from envs.store import read_episodes
from envs.types import Segment
from evals.comparison.results import episode_files
from evals.credit_test.record import Credited, read_step, steps, token_texts

__all__ = ["MOST_CHARACTERS", "TRAINING", "evaluation_episodes", "microscope"]

MOST_CHARACTERS = 20_000
TRAINING = "in training"
"""Stands for the model of a training step's episodes."""

Item = TypeVar("Item")
VERDICTS = {True: "solved", False: "not solved", None: "void"}


def microscope(run: Path, label: str, env: str, count: int) -> list[dict[str, Any]]:
    """About `count` episodes of a run, in whole groups, from steps spread evenly over it.

    JSON-able. The prompt and each reply are cut to `MOST_CHARACTERS`. Raises ValueError for files
    that do not fit together.
    """
    text_of = token_texts(run)
    kept = steps(run)
    if not kept:
        return []
    per_step = max(1, len(read_step(run, kept[-1])))
    found: list[dict[str, Any]] = []
    for step in _spread(kept, max(1, count // per_step)):
        for credited in _whole_groups(read_step(run, step), count - len(found)):
            about = {"run": label, "env": env, "model": TRAINING, "step": step}
            found.append({**about, **_row(credited, text_of)})
    return found


def evaluation_episodes(
    run: Path, label: str, report: Path, count: int
) -> list[dict[str, Any]]:
    """About `count` episodes of an evaluation, all of a task, evenly from its models and cells.

    As `microscope` gives them, without credit and with None for a step.
    """
    text_of = token_texts(run)
    files = list(episode_files(report))
    found: list[dict[str, Any]] = []
    for model, cell, path in _spread(files, count):
        episodes = [
            Credited(i, episode) for i, episode in enumerate(read_episodes(path))
        ]
        about = {"run": label, "env": cell.env, "model": model, "step": None}
        chosen = _whole_groups(episodes, count // min(count, len(files)))
        found += [{**about, **_row(credited, text_of)} for credited in chosen]
    return found


def _spread(kept: Sequence[Item], count: int) -> list[Item]:
    """`count` of them, evenly, with the last and (from two on) the first."""
    if count >= len(kept):
        return list(kept)
    if count == 1:
        return [kept[-1]]
    return [kept[round(i * (len(kept) - 1) / (count - 1))] for i in range(count)]


def _whole_groups(step: Sequence[Credited], room: int) -> list[Credited]:
    """The first groups that fit, at least one; without credit a group is a task's episodes."""
    groups: dict[Any, list[Credited]] = {}
    for credited in step:
        key = credited.episode.task.id if credited.group is None else credited.group
        groups.setdefault(key, []).append(credited)
    chosen: list[Credited] = []
    for group in groups.values():
        if chosen and len(chosen) + len(group) > room:
            break
        chosen += group
    return sorted(chosen, key=lambda credited: credited.place)


def _row(credited: Credited, text_of: Callable[[int], str]) -> dict[str, Any]:
    episode = credited.episode
    verdict = episode.verdict
    segments, place = [], 0
    for segment in episode.segments:
        end = place + (len(segment.token_ids) if segment.source == "policy" else 0)
        segments.append(_segment(segment, credited, place, end, text_of))
        place = end
    return {
        "place": credited.place,
        "task": episode.task.id,
        "level": episode.task.level,
        "family": episode.task.family,
        "verdict": VERDICTS[episode.verified],
        "score": None if verdict is None else verdict.score,
        "detail": _cut(episode.error if verdict is None else verdict.detail),
        "stop": episode.stop.sentence,
        "reference": credited.reference,
        "case": credited.case,
        "advantage": _short(credited.advantage),
        "segments": segments,
    }


def _segment(
    segment: Segment,
    credited: Credited,
    start: int,
    end: int,
    text_of: Callable[[int], str],
) -> dict[str, Any]:
    """Text; of a turn also tokens with log-probability, D and w, which are null where unknown."""
    row: dict[str, Any] = {"source": segment.source, "text": _cut(segment.text)}
    if segment.source == "policy":
        row["tokens"] = [text_of(i) for i in segment.token_ids]
        row["logprob"] = [_short(x) for x in segment.logprobs]
        row["d"] = [_short(x) for x in credited.divergence[start:end]] or None
        row["w"] = [_short(x) for x in credited.weight[start:end]] or None
    return row


def _short(value: float | None) -> float | None:
    """Four digits: what a reader sees."""
    return None if value is None else float(f"{value:.4g}")


def _cut(text: str) -> str:
    rest = len(text) - MOST_CHARACTERS
    return f"{text[:MOST_CHARACTERS]}\n[{rest} characters cut]" if rest > 0 else text
