"""Task-by-task outcomes of a finished evaluation, read from its report and its episodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from envs.rollout import Limits
from envs.store import read_episodes
from evals.evaluation.models import EvaluatedModel, EvaluatedModels
from evals.evaluation.plan import Evaluation
from evals.evaluation.suites import Suite
from evals.report.errors import warning
from evals.report.report import Report, load, newest_report
from scgrpo.config import TrainConfig
from scgrpo.policies.chat_options import ChatOptions
from scgrpo.runs import folders as runs

__all__ = [
    "Result",
    "TaskOutcomes",
    "episode_files",
    "load_result",
    "split_label",
    "version_differences",
    "with_distinct_labels",
]


@dataclass(frozen=True)
class TaskOutcomes:
    """What one model did on one task: 1.0 solved, 0.0 not solved, NaN errored.

    `content` is the task's content hash; of another harness its name, a space and its own hash,
    or empty.
    """

    family: str
    content: str
    outcomes: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """One model of an evaluation.

    | field | meaning |
    |---|---|
    | name | as the user named it |
    | label | its heading in the comparison, different from every other one's |
    | report | the JSON file |
    | provenance | how the report was made |
    | suites | suite -> task's id -> outcomes |
    | warnings | of suites with many errored episodes |
    | files | those that the outcomes were read from |
    """

    name: str
    label: str
    report: Path
    provenance: Mapping[str, Any]
    suites: Mapping[Suite, Mapping[str, TaskOutcomes]]
    warnings: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def load_result(name: str, root: Path) -> Result:
    """The result that `name` or `name:LABEL` means; `root` is the folder of named runs.

    Raises ValueError that says what to do.
    """
    place, label = split_label(name, root)
    # Without a label, the most trained model, which stands last.
    path = _report_path(place, root)
    report = load(path)
    try:
        evaluation = _evaluation(path, report)
        labels = [model.label for model in evaluation.models]
        label = label or labels[-1]
        if label not in labels:
            raise ValueError(
                f"{path} holds no model {label!r}, expected one of {', '.join(labels)}"
            )
        model = evaluation.models[labels.index(label)]
        files = [evaluation.path(row.suite, model) for row in report.rows]
        suites = {
            row.suite: _outcomes(evaluation, row.suite, model, row.tasks)
            for row in report.rows
        }
    except (KeyError, TypeError, IndexError) as error:
        raise _unreadable(path, error) from error

    if not any(_has_verdict(tasks) for tasks in suites.values()):
        raise ValueError(f"{path} has no verdict of {label}: run the evaluation again")

    short = _short_name(name, label)
    warnings = []
    for row in report.rows:
        if label in row.scores:
            warnings.append(warning(short, row.suite, row.scores[label]))
    warnings = [sentence for sentence in warnings if sentence]
    return Result(
        name,
        short,
        path,
        report.provenance,
        suites,
        tuple(warnings),
        files=(path, *files),
    )


def split_label(name: str, root: Path) -> tuple[str, str]:
    """The place and the model of `PLACE:LABEL`; no model if the name has none."""
    place, colon, label = name.rpartition(":")
    # A path or a run's name may hold a colon of its own.
    if not colon or Path(name).exists() or runs.is_run(root / name):
        return name, ""
    return place, label


def episode_files(path: Path) -> Iterator[tuple[str, Suite, Path]]:
    """Model, suite and file of each part of an evaluation whose episodes are still there.

    Raises ValueError for a file that is no report.
    """
    report = load(path)
    try:
        evaluation = _evaluation(path, report)
        paths = [
            (model.label, row.suite, evaluation.path(row.suite, model))
            for model in evaluation.models
            for row in report.rows
        ]
    except (KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    for label, suite, file in paths:
        if file.is_file():
            yield label, suite, file


def version_differences(results: Sequence[Result], *, allowed: bool) -> list[str]:
    """What differs between results besides the models. Raises ValueError unless `allowed`."""
    first, *others = results
    notes = []
    for result in others:
        before, after = first.provenance, result.provenance
        for key in ("sampling", "limits", "chat"):
            # Reports of before had no options of the chat template.
            default = asdict(ChatOptions()) if key == "chat" else None
            old, new = before.get(key, default), after.get(key, default)
            if old != new:
                notes.append(f"{key}: {old} in {first.name}, {new} in {result.name}")
        # Only environments that both played can have been played differently.
        common = set(before["code"]) & set(after["code"])
        for env in sorted(common):
            if before["code"][env] != after["code"][env]:
                notes.append(
                    f"{env} was played by other code in {first.name} than in {result.name}"
                )

    if notes and not allowed:
        raise ValueError(
            f"mixed versions: {'; '.join(notes)}. Evaluate again with the same code and settings, "
            "or pass --allow-mixed"
        )
    return [f"Mixed versions: {note}." for note in notes]


def with_distinct_labels(results: Sequence[Result]) -> list[Result]:
    """The same results with a number behind each label that comes twice."""
    labels = [result.label for result in results]
    numbered = []
    for number, result in enumerate(results, start=1):
        if labels.count(result.label) > 1:
            result = replace(result, label=f"{result.label} ({number})")
        numbered.append(result)
    return numbered


def _report_path(place: str, root: Path) -> Path:
    """The report that a file, an evaluation folder, a run folder or a run's name means."""
    path = Path(place).expanduser()
    if path.is_file():
        return path
    folder = path if path.is_dir() else runs.find_run(root, place)
    for inside in (folder / "evals", folder):
        # The comparison reads episodes, which other JSON files do not have at their side.
        report = newest_report(inside) if (inside / "episodes").is_dir() else None
        if report is not None:
            return report
    raise ValueError(f"{folder} holds no evaluation; run `scgrpo eval {place}`")


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is not a report of this version ({type(error).__name__}: {error}); evaluate again"
    )


def _evaluation(path: Path, report: Report) -> Evaluation:
    """The evaluation as it was, to name its files. Raises KeyError if the report lacks a part."""
    origin = report.provenance
    models = tuple(
        EvaluatedModel(label, about["name"], Path(about["folder"]))
        for label, about in origin["models"].items()
    )
    chat = ChatOptions(**origin.get("chat", {}))
    config = TrainConfig(limits=Limits(**origin["limits"]), chat=chat)
    return Evaluation(
        evaluated=EvaluatedModels(models, None, config, ()),
        tasks={},
        digests={label: about["sha256"] for label, about in origin["models"].items()},
        code=origin["code"],
        rollouts=report.rows[0].rollouts,
        seed=origin["seed"],
        greedy=origin["sampling"] == "greedy",
        folder=path.parent,
    )


def _outcomes(
    evaluation: Evaluation, suite: Suite, model: EvaluatedModel, tasks: int
) -> dict[str, TaskOutcomes]:
    path = evaluation.path(suite, model)
    if not path.is_file():
        raise ValueError(
            f"the episodes of {model.label} on {suite} are gone: there is no {path}; "
            "run the evaluation again"
        )

    outcomes: dict[tuple[str, str], list[float]] = {}
    families: dict[str, str] = {}
    for episode in read_episodes(path):
        task, verdict = episode.task, episode.verdict
        passed = math.nan if verdict is None else float(verdict.passed)
        key = (task.id, task.content_hash)
        outcomes.setdefault(key, []).append(passed)
        families[task.id] = task.family

    # The file grows by tasks when an evaluation is widened: those are good pairs too.
    count = len(outcomes)
    if count < tasks:
        raise ValueError(
            f"{path} holds {count} of {tasks} tasks: run the evaluation again"
        )

    # A later try stands behind the errored one that it replaces.
    by_task = {}
    for (task, content), values in outcomes.items():
        graded_first = sorted(values, key=math.isnan)
        first = graded_first[: evaluation.rollouts]
        by_task[task] = TaskOutcomes(families[task], content, tuple(first))
    return by_task


def _has_verdict(tasks: Mapping[str, TaskOutcomes]) -> bool:
    return any(not math.isnan(x) for task in tasks.values() for x in task.outcomes)


def _short_name(name: str, label: str) -> str:
    """A heading: the run or file, and the model in it."""
    place = name.removesuffix(f":{label}").rstrip("/")
    path = Path(place)
    if path.suffix == ".json":
        return f"{path.stem} {label}"
    return f"{path.name or place} {label}"
