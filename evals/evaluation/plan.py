"""What an evaluation covers, which of its episodes are on disk, and what is said before it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from envs.store import read_episodes
from envs.types import Episode, Task
from evals.evaluation.budget import PILOT, in_words, seconds_left
from evals.evaluation.episodes import kept, lacking
from evals.evaluation.models import EvaluatedModel, EvaluatedModels
from evals.evaluation.suites import Cell
from evals.statistics import detectable

__all__ = ["Evaluation", "announce"]

# As a command its caller is called __main__, which nobody listens to.
logger = logging.getLogger("evals.run")


@dataclass(frozen=True)
class Evaluation:
    """What is played, of which tasks, and where it is kept.

    | field | meaning |
    |---|---|
    | tasks | cell -> its chosen tasks |
    | digests | model's label -> hash of its files |
    | code | environment -> hash of the code that plays it |
    | rollouts | episodes of each task |
    | folder | reports go here, episodes into `episodes/` below |
    """

    subjects: EvaluatedModels
    tasks: Mapping[Cell, Sequence[Task]]
    digests: Mapping[str, str]
    code: Mapping[str, str]
    rollouts: int
    seed: int
    greedy: bool
    folder: Path

    def path(self, cell: Cell, subject: EvaluatedModel) -> Path:
        """The file of a cell's episodes: another one for whatever would change them."""
        about = [
            self.digests[subject.label],
            self.code[cell.env],
            str(cell),
            self.rollouts,
        ]
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{subject.label} {cell}")
        return self.folder / "episodes" / f"{name}-{self._hash(*about)}.jsonl"

    @property
    def name(self) -> str:
        """Of the report: the same for the same evaluation."""
        last = self.subjects.models[-1].folder.name
        counts = {str(cell): len(tasks) for cell, tasks in self.tasks.items()}
        return f"{last}-{self._hash(self.digests, self.code, counts, self.rollouts)}"

    def kept(
        self, cell: Cell, subject: EvaluatedModel, *, first_try: bool = False
    ) -> list[list[Episode]]:
        """The episodes of a cell's tasks that are on disk; see `evals.evaluation.episodes.kept`."""
        path, tasks = self.path(cell, subject), self.tasks[cell]
        asked = {"rollouts": self.rollouts, "seed": self.seed}
        return kept(path, cell, tasks, **asked, first_try=first_try)

    def lacking(self, subject: EvaluatedModel) -> dict[Cell, int]:
        """The cells that a model has not finished -> episodes to play."""
        asked = {"rollouts": self.rollouts, "seed": self.seed}
        counts = {
            cell: len(lacking(self.kept(cell, subject), cell, tasks, **asked))
            for cell, tasks in self.tasks.items()
        }
        return {cell: count for cell, count in counts.items() if count}

    def _hash(self, *about: Any) -> str:
        text = json.dumps(
            [*about, self.seed, self.greedy, asdict(self.subjects.limits)]
        )
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def announce(
    evaluation: Evaluation, waiting: Mapping[str, Mapping[Cell, int]], threads: int
) -> None:
    """Says what will be played, which difference it can show and how long it will take."""
    models = evaluation.subjects.models
    total = sum(map(len, evaluation.tasks.values())) * evaluation.rollouts * len(models)
    left = sum(sum(counts.values()) for counts in waiting.values())
    logger.info("models: %s", ", ".join(f"{s.label} {s.name}" for s in models))
    logger.info("suites: %s", ", ".join(map(str, evaluation.tasks)))
    logger.info("episodes: %d to play, %d on disk", left, total - left)
    logger.info("smallest difference that shows: %s", _differences(evaluation))
    if left:
        logger.info("time: %s", _time(evaluation, waiting, threads))


def _differences(evaluation: Evaluation) -> str:
    """In points, by cell, where a paired test finds it four times in five."""
    found: dict[str, list[str]] = {}
    for cell, tasks in evaluation.tasks.items():
        least = 100 * detectable([task.family for task in tasks], evaluation.rollouts)
        words = "none: it needs two tasks" if least != least else f"{least:.1f} points"
        about = f"{words} ({len(tasks)} tasks x {evaluation.rollouts})"
        found.setdefault(about, []).append(str(cell))
    if len(found) == 1:
        return f"{next(iter(found))} on every suite"
    return "; ".join(f"{about} on {', '.join(cells)}" for about, cells in found.items())


def _time(
    evaluation: Evaluation, waiting: Mapping[str, Mapping[Cell, int]], threads: int
) -> str:
    """An estimate from earlier episodes of the same environments in this folder or the run's."""
    seconds, unknown = 0.0, []
    left = Counter[str]()
    for counts in waiting.values():
        for cell, count in counts.items():
            left[cell.env] += count
    for name, count in left.items():
        walls = _past_walls(evaluation, name)
        if walls:
            seconds += seconds_left(count, walls, threads)
        else:
            unknown.append(name)
    if unknown:
        return f"not known before the first {PILOT} episodes: none of {', '.join(unknown)} is here"
    return f"about {in_words(seconds)}, if all models take as long as the episodes before did"


def _past_walls(evaluation: Evaluation, env: str) -> list[float]:
    """Seconds of some episodes of an environment, the newest file's first."""
    run = evaluation.subjects.run
    folders = [evaluation.folder / "episodes", *([run / "episodes"] if run else [])]
    for folder in folders:
        files = sorted(
            folder.glob("*.jsonl"), key=lambda file: -file.stat().st_mtime_ns
        )
        for file in files:
            if walls := _walls(islice(read_episodes(file), 2 * PILOT), env):
                return walls
    return []


def _walls(episodes: Iterable[Episode], env: str) -> list[float]:
    """Of the episodes with a verdict, where they are of this environment in any version."""
    name = env.rpartition(":")[2].rpartition("/")[2]
    return [
        e.wall_s
        for e in episodes
        if e.verdict is not None
        and e.env.rpartition("/")[2].rpartition("-v")[0] == name
    ]
