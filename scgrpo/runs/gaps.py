"""Measured gaps: how much more a model solves if it is shown a verified reference.

`scgrpo gap` writes them, `scgrpo train` and `plan=true` read them: both sides of the format are
here, without torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envs.identity import Identity

__all__ = ["GAPS", "SavedGap", "find_gap", "gap_data", "saved_gaps"]

GAPS = "gap"
"""The folder of gaps in an evaluation's folder, such as `runs/NAME/evals`."""


@dataclass(frozen=True)
class SavedGap:
    """Success after a verified reference of the task, less success without one.

    | field | meaning |
    |---|---|
    | model | as the user named it |
    | weights | hash of its files |
    | env, source | the environment and the hash of its code |
    | level, split | of the tasks |
    | tasks | tasks that were played both ways |
    | value, low, high | the difference and its 95 % interval, in [-1, 1]; NaN if not known |
    | date | of the measurement, UTC |
    """

    model: str
    weights: str
    env: str
    source: str
    level: int
    split: str
    tasks: int
    value: float
    low: float
    high: float
    date: str

    @property
    def is_shown(self) -> bool:
        """Whether the interval lies above 0: the model gains from what it reads."""
        return self.low > 0

    def __str__(self) -> str:
        if math.isnan(self.low):
            interval = "no interval"
        else:
            interval = f"{100 * self.low:+.1f} to {100 * self.high:+.1f}"
        return (
            f"{100 * self.value:+.1f} points ({interval}) on {self.tasks} tasks of "
            f"{self.split} at level {self.level}, {self.model}, {self.date[:10]}"
        )


def gap_data(gap: SavedGap) -> dict[str, Any]:
    """A gap as JSON holds it; the file has a list of them under `gaps`."""
    return asdict(gap)


def saved_gaps(runs: Path) -> Iterator[SavedGap]:
    """The gaps in a folder of runs, by the date of their measurement.

    A file that holds something else is left out.
    """
    gaps: list[SavedGap] = []
    for pattern in (f"evals/{GAPS}/*.json", f"*/evals/{GAPS}/*.json"):
        for path in runs.glob(pattern):
            try:
                rows = json.loads(path.read_text())["gaps"]
                gaps += [_from_json(row) for row in rows]
            except (ValueError, KeyError, TypeError, OSError):
                continue
    yield from sorted(gaps, key=lambda gap: gap.date)


def find_gap(
    runs: Path, env: Identity, level: int, weights: Set[str]
) -> SavedGap | None:
    """The newest gap of one of these weights on `id`, in the environment's code at the level."""
    expected = (env.env, env.source, level, "id")
    newest = None
    for gap in saved_gaps(runs):
        measured = (gap.env, gap.source, gap.level, gap.split)
        if measured == expected and gap.weights in weights:
            newest = gap
    return newest


def _from_json(row: dict[str, Any]) -> SavedGap:
    # JSON has no NaN.
    for name in ("value", "low", "high"):
        if row[name] is None:
            row[name] = math.nan
    return SavedGap(**row)
