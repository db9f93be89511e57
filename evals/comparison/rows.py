"""Outcomes that other harnesses wrote, as the results that this project compares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.comparison.results import Result, TaskOutcomes
from evals.evaluation.suites import Suite

__all__ = ["ForeignSuite", "OutcomeRow", "as_outcome", "result_of"]

WORDS = {
    "true": 1.0, "yes": 1.0, "pass": 1.0, "passed": 1.0, "correct": 1.0, "c": 1.0,
    "false": 0.0, "no": 0.0, "fail": 0.0, "failed": 0.0, "incorrect": 0.0, "i": 0.0, "n": 0.0,
    "p": 0.5, "": math.nan, "nan": math.nan, "none": math.nan, "null": math.nan,
    "error": math.nan,
}  # fmt: skip
"""What harnesses write instead of a number; those without a verdict are errored."""


@dataclass(frozen=True)
class ForeignSuite(Suite):
    """A benchmark of another harness, which has no level and no split of ours."""

    def __str__(self) -> str:
        return self.env


@dataclass(frozen=True)
class OutcomeRow:
    """One rollout of one task.

    | field | meaning |
    |---|---|
    | task | unique within its suite |
    | outcome | in [0, 1]: 1.0 solved, 0.0 not; NaN for an error, which counts as no verdict |
    | suite | the benchmark or dataset |
    | model | who played |
    | rollout | tells rollouts of one task apart; None: in the order of the rows |
    | family | tasks of one family are one cluster; empty: the task is its own |
    | content | a hash of what was asked; empty if the format has none |
    """

    task: str
    outcome: float
    suite: str = "all"
    model: str = ""
    rollout: str | None = None
    family: str = ""
    content: str = ""


def as_outcome(value: object, pass_at: float | None, where: str) -> float:
    """A score as an outcome; with `pass_at`, 1.0 from there on and else 0.0.

    Raises ValueError for text that is no score, and for a score outside [0, 1] without `pass_at`.
    """
    if value is None:
        return math.nan
    if isinstance(value, str):
        number = WORDS.get(value.strip().lower())
        try:
            number = float(value) if number is None else number
        except ValueError:
            raise ValueError(
                f"{where}: got the outcome {value!r}, expected a number, true or false"
            ) from None
    elif isinstance(value, bool | int | float):
        number = float(value)
    else:
        raise ValueError(f"{where}: got the outcome {value!r}, expected a number")
    if math.isnan(number):
        return math.nan
    if pass_at is not None:
        return float(number >= pass_at)
    if not 0 <= number <= 1:
        raise ValueError(
            f"{where}: got the score {number}, expected 0 to 1; say by --pass-at from which "
            "score a rollout has passed"
        )
    return number


def result_of(
    rows: Iterable[OutcomeRow], *, name: str, label: str, path: Path, kind: str
) -> Result:
    """The rows of one model as a result. Raises ValueError that says what to do.

    Without `label` there must be one model. `kind` is the format's name.
    """
    all_rows = list(rows)
    models = list(dict.fromkeys(row.model for row in all_rows))
    if not all_rows:
        raise ValueError(f"{path} holds no rollout, as {kind} writes them")
    if not label and len(models) > 1:
        raise ValueError(
            f"{path} holds several models; name one: {path}:{models[0]}, or one of "
            + ", ".join(models[1:])
        )
    label = label or models[0]
    if label not in models:
        raise ValueError(
            f"{path} holds no model {label!r}, expected one of {', '.join(models)}"
        )

    suites: dict[Suite, dict[str, TaskOutcomes]] = {}
    by_suite: dict[str, list[OutcomeRow]] = {}
    for row in all_rows:
        if row.model == label:
            by_suite.setdefault(row.suite, []).append(row)
    for suite, members in by_suite.items():
        suites[ForeignSuite(suite, 0, "id")] = _tasks(members, path)
    if all(
        math.isnan(x)
        for tasks in suites.values()
        for t in tasks.values()
        for x in t.outcomes
    ):
        raise ValueError(f"{path} has no verdict of {label}: every rollout is an error")

    short = f"{path.stem} {label}".strip()
    provenance = {"code": {}, "format": kind}
    return Result(name, short, path, provenance, suites, _warnings(short, suites))


def _tasks(rows: Sequence[OutcomeRow], path: Path) -> dict[str, TaskOutcomes]:
    outcomes: dict[str, list[float]] = {}
    about: dict[str, OutcomeRow] = {}
    seen: set[tuple[str, str]] = set()
    for row in rows:
        first = about.setdefault(row.task, row)
        if (row.family, row.content) != (first.family, first.content):
            raise ValueError(
                f"{path}: task {row.task!r} stands there with two families or two contents; "
                "give each task an id of its own"
            )
        if row.rollout is not None:
            key = (row.task, row.rollout)
            if key in seen:
                raise ValueError(
                    f"{path}: rollout {row.rollout} of task {row.task!r} stands there twice"
                )
            seen.add(key)
        outcomes.setdefault(row.task, []).append(row.outcome)
    return {
        task: TaskOutcomes(
            about[task].family or task, about[task].content, tuple(values)
        )
        for task, values in outcomes.items()
    }


def _warnings(
    label: str, suites: Mapping[Suite, Mapping[str, TaskOutcomes]]
) -> tuple[str, ...]:
    """A sentence for each suite of whose rollouts more than one in twenty is an error."""
    sentences: list[str] = []
    for suite, tasks in suites.items():
        values = [value for task in tasks.values() for value in task.outcomes]
        errors = sum(map(math.isnan, values))
        if errors * 20 > len(values):
            sentences.append(
                f"{label} on {suite}: {errors} of {len(values)} rollouts are errors, which count "
                "as no verdict."
            )
    return tuple(sentences)
