"""A trial's data: one JSON line for each run, appended as it ends; other rows as files of lines."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from filelock import FileLock

from evals.statistics import Floats, pass_at_k
from evals.trials.plan import Cell, Shard, Stage, TrialPlan
from scgrpo.runs.disk import write_atomically

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "Outcomes",
    "TrialRow",
    "append_row",
    "read_lines",
    "read_rows",
    "rows_of",
    "write_lines",
]

Row = TypeVar("Row")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcomes:
    """How a trained model did on the panel's tasks of one split.

    | field | meaning |
    |---|---|
    | tasks | their ids, N of them |
    | families | of each task |
    | passes | for each task a letter for each rollout: 1 solved, 0 not, - errored |
    """

    tasks: Sequence[str]
    families: Sequence[str]
    passes: Sequence[str]

    def table(self) -> Floats:
        """(N, K) 1 solved, 0 not, NaN errored."""
        letters = {"1": 1.0, "0": 0.0, "-": np.nan}
        return np.array([[letters[letter] for letter in row] for row in self.passes])

    def has_verdict(self) -> bool:
        """Whether not all errored, as they do if prompts are longer than an episode may be."""
        return any(set(row) - {"-"} for row in self.passes)

    def average(self) -> float:
        """avg@K: mean success over all tasks and rollouts; NaN without a verdict."""
        return float(np.nanmean(self.table())) if self.has_verdict() else math.nan

    def at_least_one(self) -> float:
        """pass@K: share of tasks that one of the K rollouts solves; NaN without a verdict."""
        if not self.has_verdict():
            return math.nan
        table = self.table()
        return float(np.nanmean(pass_at_k(table, table.shape[1])))


@dataclass(frozen=True)
class TrialRow:
    """What one run gave.

    | field | meaning |
    |---|---|
    | digest | of what the plan declares of the run |
    | code | SHA-256 of the environment's code that it was played with |
    | curve | success of the training episodes of each step; None without a verdict |
    | tokens | sampled and learned from |
    | outcomes | split -> what the trained model did |
    | step_size | case of the references -> mean absolute advantage times weight of its tokens |
    | auroc | signal -> AUROC on critical tokens, if the method weighs tokens |
    | command | that makes the row again |
    """

    cell: str
    method: str
    seed: int
    stage: Stage
    lr: float
    digest: str
    curve: Sequence[float | None]
    tokens: int
    outcomes: Mapping[str, Outcomes]
    seconds: float
    step_size: Mapping[str, float] = field(default_factory=dict)
    auroc: Mapping[str, float] = field(default_factory=dict)
    command: str = ""
    code: str = ""
    commit: str = ""
    date: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def area(self) -> float:
        """Mean success of the training episodes over all steps: the area under the curve."""
        return float(np.mean([value for value in self.curve if value is not None]))

    def is_of(self, shard: Shard) -> bool:
        """Whether this is a run of that cell, method, seed and stage, at any learning rate."""
        return (
            Cell.of(self.cell) == shard.cell
            and self.method == shard.method
            and self.seed == shard.seed
            and self.stage == shard.stage
            and (shard.lr is None or self.lr == shard.lr)
        )


def read_rows(path: Path) -> list[TrialRow]:
    """All runs of a file; none if there is no file. Raises ValueError for a torn line."""
    return read_lines(path, _trial_row)


def read_lines(path: Path, make: Callable[..., Row]) -> list[Row]:
    """What `make` makes of each line's fields; none if there is no file.

    Raises ValueError, naming the line, for a torn one.
    """
    rows: list[Row] = []
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(make(**json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} line {number} is no row of a trial ({error}); remove it, and the same "
                "command makes it again"
            ) from error
    return rows


def write_lines(path: Path, rows: Sequence[DataclassInstance]) -> None:
    """Replaces the file by a line for each row. Raises DiskError."""
    write_atomically(path, "".join(map(_line, rows)))


def rows_of(plan: TrialPlan, path: Path) -> list[TrialRow]:
    """The rows of a file that are of the plan as it stands; the others are counted in the log."""
    rows = read_rows(path)
    current: list[TrialRow] = []
    for row in rows:
        if row.method not in plan.methods or row.cell not in plan.cells:
            continue
        shard = Shard(Cell.of(row.cell), row.method, row.seed, row.lr, row.stage)
        if row.digest == plan.digest(shard):
            current.append(row)
    if others := len(rows) - len(current):
        logger.info("%d rows of %s are of other settings, and left out", others, path)
    return current


def append_row(path: Path, row: TrialRow) -> None:
    """Adds a line, whole or not at all; several processes may add."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")), path.open("a") as file:
        file.write(_line(row))


def _line(row: DataclassInstance) -> str:
    return json.dumps(asdict(row), separators=(",", ":"), allow_nan=False) + "\n"


def _trial_row(outcomes: Mapping[str, Any], **values: Any) -> TrialRow:
    of_splits = {split: Outcomes(**fields) for split, fields in outcomes.items()}
    return TrialRow(**values, outcomes=of_splits)
