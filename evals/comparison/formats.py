"""Results of other harnesses, recognised by what they hold and read by their own rules.

| format | file or folder | task, rollout | outcome |
|---|---|---|---|
| Inspect | `.eval`, or `.json` of a log; a folder of them | sample id, epoch | the first score |
| lm-eval | `samples_*.jsonl`; a folder of them | doc_id, line | the first metric |
| verifiers | `traces.jsonl` or its folder; `results.jsonl` of v0 | task key | sum of the rewards |
| Harbor | a job's folder of trials | task_name, trial | `reward`, else the only reward |
| NeMo Gym | `.jsonl` of rollouts | `_ng_task_index`, `_ng_rollout_index` | `reward` |
| table | `.csv`, `.json` or `.jsonl` of rows | see `COLUMNS` | see `COLUMNS` |
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.comparison.results import Result, load_result, split_label
from evals.comparison.rows import OutcomeRow, as_outcome, result_of

__all__ = ["COLUMNS", "Choice", "load_any"]

COLUMNS = {
    "task": ("task", "task_id", "question_id", "instance_id", "id"),
    "rollout": ("rollout", "rollout_index", "epoch", "trial", "attempt", "repeat"),
    "outcome": ("pass", "passed", "success", "correct", "resolved", "reward", "score", "outcome"),
    "suite": ("suite", "benchmark", "dataset", "env"),
    "model": ("model", "agent", "system"),
    "family": ("family", "cluster", "group"),
}  # fmt: skip
"""Names of a table's columns, the preferred ones first; task and outcome must be there."""


@dataclass(frozen=True)
class Choice:
    """What of a log counts.

    | field | meaning |
    |---|---|
    | metric | scorer, metric or reward by name; empty: the log's first |
    | pass_at | score from which a rollout has passed; None: scores count as they are |
    """

    metric: str = ""
    pass_at: float | None = None


Rows = Iterator[OutcomeRow]
Reader = Callable[[Path, Choice], Rows]


@dataclass(frozen=True)
class _Format:
    """The format of a file or folder: its name, and what reads each of its files."""

    kind: str
    read: Reader
    files: tuple[Path, ...]


def load_any(name: str, root: Path, choice: Choice) -> Result:
    """The result that `name` or `name:LABEL` means, of another harness or of this project.

    `root` is the folder of named runs. Raises ValueError that says what to do.
    """
    place, label = split_label(name, root)
    path = Path(place).expanduser()
    known = _format_of(path)
    if known is None:
        return load_result(name, root)
    kind = known.kind
    try:
        rows = [row for file in known.files for row in known.read(file, choice)]
    except (KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        raise ValueError(
            f"{path} is not what {kind} writes ({type(error).__name__}: {error})"
        ) from error
    result = result_of(rows, name=name, label=label, path=path, kind=kind)
    return replace(result, files=known.files)


def _format_of(path: Path) -> _Format | None:
    if path.is_dir():
        return _format_of_folder(path)
    known = _format_of_file(path) if path.is_file() else None
    return known and _Format(*known, files=(path,))


def _format_of_file(path: Path) -> tuple[str, Reader] | None:
    if path.suffix == ".eval":
        return "Inspect", _inspect
    if path.suffix == ".csv":
        return "table", _table
    if path.suffix == ".jsonl":
        return _format_of_lines(path)
    if path.suffix == ".json":
        value = _json(path)
        if isinstance(value, list):
            return "table", _table
        if isinstance(value, dict) and {"eval", "samples"} <= value.keys():
            return "Inspect", _inspect
    return None


def _format_of_folder(folder: Path) -> _Format | None:
    if (folder / "evals").is_dir() or (folder / "episodes").is_dir():
        # A run or an evaluation of ours, which may hold logs that were exported from it.
        return None
    traces = folder / "traces.jsonl"
    if traces.is_file():
        return _Format("verifiers", _verifiers, (traces,))
    for pattern, kind, read in (
        ("samples_*.jsonl", "lm-eval", _lm_eval),
        ("*.eval", "Inspect", _inspect),
    ):
        files = sorted(folder.rglob(pattern))
        if files:
            return _Format(kind, read, tuple(files))
    trials = sorted(folder.glob("*/result.json"))
    if trials and "verifier_result" in _json(trials[0]):
        return _Format("Harbor", _harbor, tuple(trials))
    return None


def _format_of_lines(path: Path) -> tuple[str, Reader] | None:
    first = next(iter(_lines(path)), None)
    if not isinstance(first, dict):
        return None
    keys = first.keys()
    if "doc_id" in keys:
        return "lm-eval", _lm_eval
    if {"traces", "task"} <= keys or {"example_id", "reward"} <= keys:
        return "verifiers", _verifiers
    if "_ng_task_index" in keys:
        return "NeMo Gym", _nemo_gym
    if _column(keys, "task") and _column(keys, "outcome"):
        return "table", _table
    # An episodes file of ours among them: its evaluation's report is what is compared.
    return None


def _inspect(path: Path, choice: Choice) -> Rows:
    try:
        from inspect_ai.log import read_eval_log
        from inspect_ai.scorer import value_to_float
    except ImportError as error:
        raise ValueError(
            f"{path} is a log of Inspect: pip install 'scgrpo[inspect]' to read it"
        ) from error
    try:
        log = read_eval_log(path, resolve_attachments=True)
    except Exception as error:  # whatever its reader raises for a file that is no log
        raise ValueError(f"{path} is no log that inspect-ai reads: {error}") from error

    to_float = value_to_float()
    for sample in log.samples or ():
        outcome: float = math.nan
        if sample.error is None and sample.scores:
            score = _chosen(sample.scores, choice.metric, path)
            where = f"{path}, sample {sample.id}"
            outcome = as_outcome(to_float(score.value), choice.pass_at, where)
        family = sample.metadata.get("family", "") if sample.metadata else ""
        yield OutcomeRow(
            task=str(sample.id),
            outcome=outcome,
            suite=log.eval.task,
            model=log.eval.model,
            rollout=str(sample.epoch),
            family=str(family or ""),
            content="inspect " + _hash(str(sample.input)),
        )


def _lm_eval(path: Path, choice: Choice) -> Rows:
    """Lines of one filter: the first that the file has."""
    suite = path.stem.removeprefix("samples_").rpartition("_")[0] or path.stem
    rows = list(_lines(path))
    filters = list(dict.fromkeys(row.get("filter", "") for row in rows))
    for row in rows:
        if row.get("filter", "") != filters[0]:
            continue
        metrics = {name: row[name] for name in row.get("metrics", ()) if name in row}
        value = _chosen(metrics, choice.metric, path)
        content = row.get("doc_hash", "")
        yield OutcomeRow(
            task=str(row["doc_id"]),
            outcome=as_outcome(value, choice.pass_at, f"{path}, doc {row['doc_id']}"),
            suite=suite,
            model=path.parent.name,
            content=f"lm-eval {content}" if content else "",
        )


def _verifiers(path: Path, choice: Choice) -> Rows:
    for row in _lines(path):
        if "traces" not in row:
            yield OutcomeRow(
                task=str(row["example_id"]),
                outcome=as_outcome(row["reward"], choice.pass_at, str(path)),
                suite=str(row.get("task") or "all"),
            )
            continue
        task = row["task"]
        data = task.get("data", {})
        name = task.get("key") or data.get("id") or str(data.get("idx"))
        traces = [t for t in row["traces"] if t.get("agent", {}).get("trainable", True)]
        values = [_trace_reward(trace, choice, path) for trace in traces]
        graded = [value for value in values if not math.isnan(value)]
        outcome = math.nan
        if row.get("ok", True) and graded:
            mean = sum(graded) / len(graded)
            outcome = as_outcome(mean, choice.pass_at, f"{path}, task {name}")
        yield OutcomeRow(
            task=name,
            outcome=outcome,
            suite=row.get("env", {}).get("id") or "all",
            model=_trace_model(traces),
            content=f"verifiers {task['hash']}" if task.get("hash") else "",
        )


def _trace_reward(trace: Mapping[str, Any], choice: Choice, path: Path) -> float:
    """The weighted sum of a trace's rewards, or the one that is chosen; NaN without any."""
    rewards = trace.get("rewards") or {}
    if not rewards:
        return math.nan
    if choice.metric:
        return float(_chosen(rewards, choice.metric, path)["score"])
    return sum(
        reward["score"] * reward.get("weight", 1.0) for reward in rewards.values()
    )


def _trace_model(traces: Sequence[Mapping[str, Any]]) -> str:
    configs = [trace.get("agent", {}).get("config", {}) for trace in traces]
    return next((config["model"] for config in configs if config.get("model")), "")


def _harbor(file: Path, choice: Choice) -> Rows:
    """The one trial of a file."""
    trial = _json(file)
    rewards = (trial.get("verifier_result") or {}).get("rewards") or {}
    outcome = math.nan
    if rewards and not trial.get("exception_info"):
        preferred = choice.metric or ("reward" if "reward" in rewards else "")
        value = _chosen(rewards, preferred, file)
        outcome = as_outcome(value, choice.pass_at, str(file))
    agent = trial.get("agent_info") or {}
    model = (agent.get("model_info") or {}).get("name", "")
    checksum = trial.get("task_checksum")
    yield OutcomeRow(
        task=trial["task_name"],
        outcome=outcome,
        suite=trial.get("source") or "all",
        model=" ".join(filter(None, (agent.get("name", ""), model))),
        rollout=trial.get("trial_name") or file.parent.name,
        content=f"harbor {checksum}" if checksum else "",
    )


def _nemo_gym(path: Path, choice: Choice) -> Rows:
    for row in _lines(path):
        value = row.get(choice.metric or "reward")
        yield OutcomeRow(
            task=str(row["_ng_task_index"]),
            outcome=as_outcome(value, choice.pass_at, str(path)),
            suite=(row.get("agent_ref") or {}).get("name") or "all",
            rollout=str(row.get("_ng_rollout_index", 0)),
        )


def _table(path: Path, choice: Choice) -> Rows:
    rows: Iterable[Mapping[str, Any]]
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = _json(path) if path.suffix == ".json" else list(_lines(path))
    for number, row in enumerate(rows, start=1):
        columns = {name: _column(row.keys(), name) for name in COLUMNS}
        columns["outcome"] = choice.metric or columns["outcome"]
        for name in ("task", "outcome"):
            if columns[name] not in row:
                expected = ", ".join(COLUMNS[name])
                raise ValueError(
                    f"{path} has no column of each row's {name}; expected one of {expected}"
                )

        def text(name: str, row: Any = row, columns: Any = columns) -> str:
            value = row[columns[name]] if columns[name] else None
            return "" if value is None else str(value)

        outcome = row[columns["outcome"]]
        yield OutcomeRow(
            task=text("task"),
            outcome=as_outcome(outcome, choice.pass_at, f"{path}, row {number}"),
            suite=text("suite") or "all",
            model=text("model"),
            rollout=text("rollout") or None,
            family=text("family"),
        )


def _column(keys: Iterable[str], name: str) -> str:
    """The column that holds something, among those that a table has; empty for none."""
    present = set(keys)
    return next((column for column in COLUMNS[name] if column in present), "")


def _chosen(scores: Mapping[str, Any], name: str, path: Path) -> Any:
    """The score of that name, or the first. Raises ValueError that lists them."""
    if not scores:
        raise ValueError(f"{path} has no score in a rollout without an error")
    if name and name not in scores:
        raise ValueError(
            f"{path} has no score {name!r}; --metric takes one of {', '.join(scores)}"
        )
    return scores[name] if name else next(iter(scores.values()))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(
                        f"{path}, line {number} is no JSON: {error}"
                    ) from error


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
