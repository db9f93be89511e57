"""Episodes on disk: one JSON object a line, appended, read back exactly."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from envs.plain import json_in_utf8
from envs.types import Branch, Episode, Segment, Stop, Task, Verdict

__all__ = ["from_json", "intact", "read_episodes", "to_json", "write_episodes"]

CHECKSUM = "sha256"
CHUNK_BYTES = 65536


def to_json(episode: Episode) -> str:
    """One line of JSON for an episode.

    Every column has one type in every line, so that `datasets.load_dataset("json")` reads files in
    any order: it takes types from the first lines, and an empty list or a null has none. So there
    is no null, and lists and mappings are JSON texts.

    | column | meaning |
    |---|---|
    | outcome | `passed`, `failed`, `errored` or `prompt_too_long`; the last two have no verdict |
    | verdict | JSON: passed, score, detail and parts; or null |
    | sha256 | the last column: a checksum of the others |

    Other columns are fields of Episode and Task. Raises ValueError for NaN and infinities,
    TypeError for a payload that is not JSON.
    """
    task, verdict = episode.task, episode.verdict
    # Names and order are the format of files that exist: the checksum depends on both.
    row = {
        "task_id": task.id,
        "split": task.split,
        "level": task.level,
        "family": task.family,
        "prompt": task.prompt,
        "payload": _dumps(task.payload),
        "messages": _dumps(list(episode.messages)),
        "tools": _dumps(list(episode.tools)),
        "segments": _dumps([vars(segment) for segment in episode.segments]),
        "stop": episode.stop.value,
        "outcome": _outcome(episode),
        "verdict": _dumps(None if verdict is None else vars(verdict)),
        "policy_version": episode.policy_version,
        "seed": episode.seed,
        "error": episode.error,
        "wall_s": float(episode.wall_s),
        "malformed": episode.malformed,
        "env": episode.env,
        "source": episode.source,
        "states": _dumps(list(episode.states)),
        "progress": _dumps(list(episode.progress)),
        "versions": _dumps(list(episode.versions)),
        "branches": _dumps([_branch_row(branch) for branch in episode.branches]),
        "agent": episode.agent,
    }
    text = _dumps(row)
    return f'{text[:-1]},"{CHECKSUM}":"{_digest(text)}"}}'


def from_json(line: str | bytes) -> Episode:
    """The episode that `to_json` wrote, now or in an earlier release.

    Raises ValueError for any other text.
    """
    try:
        row = _row(line)
        episode = Episode(
            task=Task(
                id=row["task_id"],
                payload=json.loads(row["payload"]),
                **{key: row[key] for key in ("split", "level", "family", "prompt")},
            ),
            messages=tuple(_list(row, "messages")),
            tools=tuple(_list(row, "tools")),
            segments=tuple(_segment(segment) for segment in _list(row, "segments")),
            stop=Stop(row["stop"]),
            verdict=_verdict(row),
            **{
                key: row[key]
                for key in ("policy_version", "seed", "error", "wall_s", "malformed")
            },
            # Files from before these columns lack them.
            env=row.get("env") or "",
            source=row.get("source") or "",
            states=tuple(_list(row, "states")),
            progress=tuple(_list(row, "progress")),
            versions=tuple(_list(row, "versions")),
            branches=tuple(_branch(branch) for branch in _list(row, "branches")),
            agent=row.get("agent") or "",
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an episode: {type(error).__name__}: {error}") from error
    outcome = _outcome(episode)
    if row.get("outcome", outcome) != outcome:
        raise ValueError(
            f"its outcome is {row['outcome']!r}, but its verdict says {outcome!r}"
        )
    return episode


def intact(line: str | bytes) -> bool | None:
    """Whether a line is as `to_json` wrote it; None for one without a checksum."""
    row = json.loads(line)
    checksum = row.pop(CHECKSUM, None)
    return None if checksum is None else checksum == _digest(_dumps(row))


def write_episodes(path: str | os.PathLike[str], episodes: Iterable[Episode]) -> None:
    """Appends episodes to a file, making it and its folder.

    A line that an interrupted write left unfinished at the end is removed first.
    """
    lines = "".join(f"{to_json(episode)}\n" for episode in episodes).encode()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        _remove_torn_line(file)
        file.write(lines)


def read_episodes(path: str | os.PathLike[str]) -> Iterator[Episode]:
    """The episodes of a file in order; an unfinished last line is left out.

    Raises ValueError naming file and line for anything else that is not an episode.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            # An interrupted write left it, and its episode is played again.
            if not line.endswith(b"\n"):
                return
            try:
                yield from_json(line)
            except ValueError as error:
                raise ValueError(
                    f"{os.fspath(path)}, line {number}: {error}"
                ) from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _dumps(value: object) -> str:
    """Compact JSON in ASCII."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_as_dict)


def _as_dict(value: object) -> dict[str, Any]:
    """A Mapping that is not a dict, as one."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON: {value!r:.80}")


def _segment(row: dict[str, Any]) -> Segment:
    return Segment(
        source=row["source"],
        text=row["text"],
        token_ids=tuple(row["token_ids"]),
        logprobs=tuple(row["logprobs"]),
        cut=row["cut"],
        tokens=row.get("tokens", 0),
        thought=row.get("thought", ""),
    )


def _branch_row(branch: Branch) -> dict[str, Any]:
    segments = [vars(segment) for segment in branch.segments]
    return {**vars(branch), "segments": segments}


def _branch(row: dict[str, Any]) -> Branch:
    return Branch(
        messages=tuple(row["messages"]),
        tools=tuple(row["tools"]),
        segments=tuple(_segment(segment) for segment in row["segments"]),
    )


def _verdict(row: dict[str, Any]) -> Verdict | None:
    if "verdict" in row:
        fields = json.loads(row["verdict"])
        return None if fields is None else Verdict(**fields)
    # An earlier release wrote its fields as columns.
    if row["passed"] is None:
        return None
    return Verdict(row["passed"], row["score"], row["detail"], json.loads(row["parts"]))


def _row(line: str | bytes) -> Any:
    """The columns; without halves of surrogate pairs, which an earlier release let in."""
    row = json.loads(line)
    if "verdict" not in row:
        row = json_in_utf8(line)
        for column in ("payload", "parts"):
            row[column] = json.dumps(json_in_utf8(row[column]))
    return row


def _list(row: dict[str, Any], column: str) -> list[Any]:
    """A column that is a JSON text, or the list itself as an earlier release wrote it."""
    value = row.get(column)
    return json.loads(value) if isinstance(value, str) else value or []


def _outcome(episode: Episode) -> str:
    if episode.verdict is not None:
        return "passed" if episode.verdict.passed else "failed"
    return "prompt_too_long" if episode.prompt_too_long else "errored"


def _remove_torn_line(file: Any) -> None:
    """Truncates a file opened with "ab+" after its last newline."""
    end = file.seek(0, os.SEEK_END)
    size = end
    # Backwards: a file may be large, and its last line is near the end.
    while size > 0:
        start = max(0, size - CHUNK_BYTES)
        file.seek(start)
        newline = file.read(size - start).rfind(b"\n")
        if newline >= 0:
            size = start + newline + 1
            break
        size = start
    if size < end:
        file.truncate(size)
