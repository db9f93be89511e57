"""What a run's folder says of it: settings, success on held-out tasks, tokens and hours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.store import read_episodes
from evals.evaluation.suites import Suite
from evals.report.report import Report, load
from evals.statistics import Estimate
from scgrpo.config import TrainConfig
from scgrpo.runs.folders import CONFIG, all_runs, is_run
from scgrpo.runs.log import METRICS, read_metrics
from scgrpo.settings import parse as settings

__all__ = [
    "RunRecord",
    "SuiteScore",
    "Tokens",
    "differing_settings",
    "read_run",
    "runs_in",
]

LAST_STEPS = 5
"""Over which success in training is a mean."""
OF_NO_MATTER = {"name", "runs", "resume", "plan"}
"""Settings that say where a run lies and how it was called."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of episodes: each counts once, however often a cache was filled with it."""

    read: int = 0
    written: int = 0


@dataclass(frozen=True)
class SuiteScore:
    """What a run's most trained model reached on a suite, by the newest report that has it.

    | field | meaning |
    |---|---|
    | gain | over the least trained model of the report; None if it has no other |
    | sampling | how tokens were chosen, in words |
    """

    suite: Suite
    label: str
    success: Estimate
    gain: Estimate | None
    tasks: int
    rollouts: int
    sampling: str
    report: Path


@dataclass(frozen=True)
class RunRecord:
    """A run.

    | field | meaning |
    |---|---|
    | settings | by dotted key; empty if they cannot be read |
    | steps | that were learned |
    | hours | of sampling and learning, without evaluations |
    | in_training | mean success of the last steps' episodes; NaN without any |
    | training, evaluation | tokens of the steps' episodes and of all evaluations' |
    | notes | sentences on what cannot be read |
    | sources | the files that all of this rests on, but for the evaluations' episodes |
    """

    folder: Path
    settings: Mapping[str, Any]
    steps: int
    hours: float
    in_training: float
    training: Tokens
    evaluation: Tokens
    suites: Sequence[SuiteScore]
    notes: Sequence[str] = field(default_factory=tuple)
    sources: Sequence[Path] = field(default_factory=tuple)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name


def runs_in(folders: Iterable[Path]) -> list[Path]:
    """The runs that folders are or hold, oldest first in each, each once.

    Raises ValueError for a folder with neither.
    """
    runs: list[Path] = []
    for folder in folders:
        own = [folder] if is_run(folder) else all_runs(folder)
        if not own:
            raise ValueError(
                f"{folder} is no run and holds none; `scgrpo train` makes one"
            )
        runs += own
    return list(dict.fromkeys(runs))


def read_run(run: Path) -> RunRecord:
    """The record of a run. What is broken in it becomes a note."""
    notes: list[str] = []
    values = _settings(run, notes)
    rows: list[dict[str, Any]] = []
    try:
        rows = read_metrics(run / METRICS)
    except ValueError as error:
        notes.append(str(error))
    suites = _suites(run, notes)

    seconds = sum(
        row.get(name) or 0.0
        for row in rows
        for name in ("time/rollout_s", "time/update_s")
    )
    success = [row.get("episodes/success") for row in rows[-LAST_STEPS:]]
    known = [value for value in success if value is not None]
    files = [run / CONFIG, run / METRICS, *(score.report for score in suites)]
    return RunRecord(
        folder=run,
        settings=values,
        steps=len(rows),
        hours=seconds / 3600,
        in_training=sum(known) / len(known) if known else math.nan,
        training=_training_tokens(rows, values),
        evaluation=_evaluation_tokens(run, notes),
        suites=suites,
        notes=tuple(notes),
        sources=tuple(file for file in dict.fromkeys(files) if file.is_file()),
    )


def differing_settings(records: Sequence[RunRecord]) -> list[str]:
    """The keys of settings that two of the runs have otherwise, in the settings' order."""
    known = [record.settings for record in records if record.settings]
    keys = dict.fromkeys(key for values in known for key in values)
    return [
        key
        for key in keys
        if key not in OF_NO_MATTER and len({str(one.get(key)) for one in known}) > 1
    ]


def _settings(run: Path, notes: list[str]) -> Mapping[str, Any]:
    if not (run / CONFIG).is_file():
        notes.append(f"{run} has no {CONFIG}.")
        return {}
    try:
        return settings.flat(settings.load(TrainConfig, run / CONFIG))
    except ValueError as error:
        notes.append(f"The settings of {run} cannot be read: {error}.")
        return {}


def _suites(run: Path, notes: list[str]) -> list[SuiteScore]:
    """Of each suite the score in the newest report that has it."""
    paths = sorted(
        (run / "evals").glob("*.json"),
        key=lambda path: (path.stat().st_mtime_ns, path.name),
        reverse=True,
    )
    by_suite: dict[Suite, SuiteScore] = {}
    for path in paths:
        try:
            report = load(path)
        except ValueError as error:
            notes.append(f"{error}.")
            continue
        for score in _scores(report, path):
            by_suite.setdefault(score.suite, score)
    return sorted(by_suite.values(), key=lambda score: str(score.suite))


def _scores(report: Report, path: Path) -> list[SuiteScore]:
    scores: list[SuiteScore] = []
    for row in report.rows:
        if not row.scores:
            continue
        label, score = list(row.scores.items())[-1]
        # The last difference is to the least trained model.
        gains = [one.estimate for one in row.differences if one.after == label]
        scores.append(
            SuiteScore(
                row.suite,
                label,
                score.success,
                gains[-1] if gains else None,
                row.tasks,
                row.rollouts,
                str(report.provenance.get("sampling", "")),
                path,
            )
        )
    return scores


def _training_tokens(
    rows: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
) -> Tokens:
    """Of the episodes of all steps. Steps of early releases did not count their episodes."""
    usual = values.get("tasks_per_step", 0) * values.get("group_size", 0)
    total = written = 0.0
    for row in rows:
        count = row.get("episodes/count") or usual
        total += count * (row.get("episodes/tokens") or 0.0)
        written += count * (row.get("episodes/written") or 0.0)
    return Tokens(round(total - written), round(written))


def _evaluation_tokens(run: Path, notes: list[str]) -> Tokens:
    """Of all episodes that evaluations kept. A server's episodes tell what it wrote alone."""
    read = written = 0
    for path in sorted((run / "evals" / "episodes").glob("*.jsonl")):
        try:
            for episode in read_episodes(path):
                own = sum(turn.length for turn in episode.turns)
                written += own
                read += sum(segment.length for segment in episode.segments) - own
        except ValueError as error:
            notes.append(f"{error}.")
    return Tokens(read, written)
