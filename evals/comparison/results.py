"""Task-by-task outcomes of a finished evaluation, read from its report and its episodes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envs.rollout import Limits
from envs.store import read_episodes
from evals.evaluation.models import EvaluatedModel, EvaluatedModels
from evals.evaluation.suites import Cell
from evals.report.errors import warning
from evals.run import Evaluation
from scgrpo.config import TrainConfig
from scgrpo.runs import folders as runs

__all__ = ["Outcomes", "Result", "distinct", "episode_files", "load_result", "mixed"]


@dataclass(frozen=True)
class Outcomes:
    """What one model did on one task: 1.0 solved, 0.0 not solved, NaN without a verdict.

    `content` is the task's content hash.
    """

    family: str
    content: str
    outcomes: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """One model of an evaluation.

    | field | meaning |
    |---|---|
    | name | as it was asked for |
    | label | what it is called in the comparison: unlike every other one's |
    | report | the JSON file |
    | facts | how the report was made |
    | cells | cell -> task's id -> what it did |
    | warnings | of cells where many episodes errored |
    """

    name: str
    label: str
    report: Path
    facts: Mapping[str, Any]
    cells: Mapping[Cell, Mapping[str, Outcomes]]
    warnings: tuple[str, ...] = ()


def load_result(name: str, root: Path) -> Result:
    """The result that `name` or `name:LABEL` means; `root` is the folder of named runs.

    Raises ValueError that says what to do.
    """
    place, colon, label = name.rpartition(":")
    if not colon or Path(name).exists():
        place, label = name, ""
    path = _report(place, root)
    data = _read(path)
    facts, rows = data["facts"], data["rows"]
    labels = list(facts["models"])
    label = label or labels[-1]
    if label not in labels:
        raise ValueError(
            f"{path} holds no model {label!r}; wanted one of {', '.join(labels)}"
        )
    try:
        evaluation = _evaluation(path, facts, rows[0]["rollouts"])
        cells = {
            cell: _outcomes(evaluation, cell, label, row["tasks"])
            for row in rows
            for cell in [Cell(row["env"], row["level"], row["split"])]
        }
    except (KeyError, TypeError) as error:
        raise _outdated(path, error) from error
    if not any(
        not math.isnan(x)
        for c in cells.values()
        for t in c.values()
        for x in t.outcomes
    ):
        raise ValueError(f"{path} has no verdict of {label}: run the evaluation again")
    short = _short(name, label)
    warnings = [
        warning(short, cell, row.get("scores", {}).get(label, {}))
        for cell, row in zip(cells, rows, strict=True)
    ]
    return Result(name, short, path, facts, cells, tuple(filter(None, warnings)))


def episode_files(report: Path) -> Iterator[tuple[str, Cell, Path]]:
    """The model, cell and file of each part of an evaluation whose episodes are still there.

    Raises ValueError for a file that is no report.
    """
    data = _read(report)
    try:
        evaluation = _evaluation(report, data["facts"], data["rows"][0]["rollouts"])
        cells = [Cell(row["env"], row["level"], row["split"]) for row in data["rows"]]
        paths = {
            (s.label, c): evaluation.path(c, s)
            for s in evaluation.subjects.models
            for c in cells
        }
    except (KeyError, TypeError) as error:
        raise _outdated(report, error) from error
    for (label, cell), path in paths.items():
        if path.is_file():
            yield label, cell, path


def mixed(results: Sequence[Result], *, allowed: bool) -> list[str]:
    """What differs between results apart from the models. Raises ValueError unless `allowed`."""
    first, notes = results[0], []
    for other in results[1:]:
        for key in ("sampling", "limits"):
            if first.facts[key] != other.facts[key]:
                notes.append(
                    f"{key}: {first.facts[key]} in {first.name}, {other.facts[key]} in {other.name}"
                )
        for env in sorted(set(first.facts["code"]) & set(other.facts["code"])):
            if first.facts["code"][env] != other.facts["code"][env]:
                notes.append(
                    f"{env} was played by other code in {first.name} than in {other.name}"
                )
    if notes and not allowed:
        raise ValueError(
            f"mixed versions: {'; '.join(notes)}. Evaluate again with the same code and settings, "
            "or pass --allow-mixed"
        )
    return [f"Mixed versions: {note}." for note in notes]


def distinct(results: Sequence[Result]) -> list[Result]:
    """The same results with a number behind each label that comes twice."""
    labels = [result.label for result in results]
    return [
        replace(r, label=f"{r.label} ({i})") if labels.count(r.label) > 1 else r
        for i, r in enumerate(results, start=1)
    ]


def _report(place: str, root: Path) -> Path:
    """The report that a file, an evaluation folder, a run folder or a run's name means."""
    path = Path(place).expanduser()
    if path.is_file():
        return path
    folder = path if path.is_dir() else runs.find_run(root, place)
    found = [
        file
        for inside in (folder / "evals", folder)
        for file in inside.glob("*.json")
        if (inside / "episodes").is_dir()
    ]
    if not found:
        raise ValueError(
            f"{folder} holds no evaluation; run python -m evals.run --run {place}"
        )
    return max(found, key=lambda file: (file.stat().st_mtime_ns, file.name))


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot read {path}: {error}; wanted a report of evals.run"
        ) from error
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not isinstance(data.get("facts"), dict):
        raise ValueError(f"{path} is no report of evals.run: it has no facts and rows")
    if not rows or not data["facts"].get("models"):
        raise ValueError(f"{path} is an empty result: run the evaluation again")
    return data


def _outdated(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is not a report of this version ({type(error).__name__}: {error}); evaluate again"
    )


def _evaluation(path: Path, facts: Mapping[str, Any], rollouts: int) -> Evaluation:
    """The evaluation as it was, to ask for its files."""
    models = tuple(
        EvaluatedModel(label, about["name"], Path(about["folder"]))
        for label, about in facts["models"].items()
    )
    config = TrainConfig(limits=Limits(**facts["limits"]))
    return Evaluation(
        subjects=EvaluatedModels(models, None, config, ()),
        tasks={},
        digests={label: about["sha256"] for label, about in facts["models"].items()},
        code=facts["code"],
        rollouts=rollouts,
        seed=facts["seed"],
        greedy=facts["sampling"] == "greedy",
        folder=path.parent,
    )


def _outcomes(
    evaluation: Evaluation, cell: Cell, label: str, tasks: int
) -> dict[str, Outcomes]:
    (subject,) = (s for s in evaluation.subjects.models if s.label == label)
    path = evaluation.path(cell, subject)
    if not path.is_file():
        raise ValueError(
            f"the episodes of {label} on {cell} are gone: there is no {path}; "
            "run the evaluation again"
        )
    found: dict[tuple[str, str], list[float]] = {}
    families: dict[str, str] = {}
    for episode in read_episodes(path):
        task = episode.task
        passed = math.nan if episode.verdict is None else float(episode.verdict.passed)
        found.setdefault((task.id, task.content_hash), []).append(passed)
        families[task.id] = task.family
    # The file grows by tasks when an evaluation is widened: those are good pairs too.
    if len(found) < tasks:
        raise ValueError(
            f"{path} holds {len(found)} of {tasks} tasks: run the evaluation again"
        )
    return {
        task: Outcomes(
            families[task], content, tuple(_voids_last(said)[: evaluation.rollouts])
        )
        for (task, content), said in found.items()
    }


def _voids_last(outcomes: Sequence[float]) -> list[float]:
    return sorted(outcomes, key=math.isnan)


def _short(name: str, label: str) -> str:
    """A name for a column: the run or file, and the model in it."""
    place = name.removesuffix(f":{label}").rstrip("/")
    path = Path(place)
    return f"{path.stem if path.suffix == '.json' else path.name or place} {label}"
