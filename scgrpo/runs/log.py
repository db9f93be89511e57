"""What a run reports on the way: metrics on disk, progress and messages on the terminal."""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, Protocol, Self

from scgrpo.runs.disk import disk_errors_explained, write_atomically

__all__ = [
    "METRICS",
    "VALIDATION",
    "Metrics",
    "Progress",
    "progress",
    "read_metrics",
    "to_terminal",
]

METRICS, VALIDATION = "metrics.jsonl", "validation.jsonl"
PLAIN_INTERVAL_S = 10.0


class Metrics:
    """Writes each step's numbers to `run/metrics.jsonl` and `run/tensorboard/`.

    What was measured on held-out tasks goes to `run/validation.jsonl`.

    `last_step` is the step that training goes on from: lines after it, and a last line that a
    killed process left half written, are dropped. Not-a-number and infinity become null in the
    JSON. `tracker` names a package with the interface of wandb that gets the numbers too, in the
    project `scgrpo` under the run's name. Use as a context manager. Raises DiskError when the disk
    is full or cannot be written, ValueError if the tracker is not installed.
    """

    def __init__(self, run: Path, *, last_step: int = 0, tracker: str = "none") -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._tracker = None if tracker == "none" else _tracker(tracker)
        self._files: dict[Path, FileIO] = {}
        self._metrics, self._validation = run / METRICS, run / VALIDATION
        with disk_errors_explained(self._metrics):
            run.mkdir(parents=True, exist_ok=True)
            for path in (self._metrics, self._validation):
                _drop_after(path, last_step)
                self._files[path] = path.open("ab", buffering=0)
            # Events after the step are hidden by TensorBoard, which never rewrites a file.
            self._board = SummaryWriter(run / "tensorboard", purge_step=last_step + 1)
        if self._tracker is not None:
            options = {"project": "scgrpo", "name": run.name, "resume": "allow"}
            # trackio resumes a run by its name, wandb by an id.
            if tracker == "wandb":
                place = zlib.crc32(os.fsencode(run.resolve()))
                options["id"] = f"{run.name}-{place:08x}"
            self._tracker.init(**options)

    def write(self, step: int, **values: Any) -> None:
        """Appends one line; numbers also become curves. It is on disk when this returns."""
        self._append(self._metrics, step, values)

    def write_validation(self, step: int, **values: Any) -> None:
        """The same for what was measured on held-out tasks."""
        self._append(self._validation, step, values)

    def _append(self, path: Path, step: int, values: dict[str, Any]) -> None:
        now = round(time.time(), 3)
        row = {"step": step, "time": now, **values}
        numbers: dict[str, float] = {}
        for name, value in values.items():
            if isinstance(value, int | float):
                numbers[name] = value

        file = self._files[path]
        with disk_errors_explained(path):
            line = _line(row).encode()
            while line:  # a nearly full disk takes a part
                written = file.write(line)
                line = line[written:]
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()
        if self._tracker is not None:
            self._tracker.log(numbers, step=step)

    def close(self) -> None:
        """Ends the files and the tracker; safe to call twice."""
        for file in self._files.values():
            file.close()
        self._board.close()
        if self._tracker is not None:
            self._tracker.finish()
            self._tracker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _tracker(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"tracker={name}: {error}; pip install {name}") from error


def _drop_after(path: Path, last_step: int) -> None:
    """Leaves a metrics file its rows up to a step; makes it if there is none."""
    lines: list[str] = []
    for row in read_metrics(path):
        if row["step"] <= last_step:
            lines.append(_line(row))
    write_atomically(path, "".join(lines))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file, in order; a torn last line is left out.

    Raises ValueError with the line's number if another line is broken.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise ValueError(
                    f"{path}, line {number}: not JSON: {line[:80]!r}"
                ) from error
    return rows


class Progress(Protocol):
    """A piece of long work as it goes."""

    def advance(self, count: int = 1, text: str = "") -> None:
        """Adds finished items; `text` says what matters now, such as the reward."""
        ...


@contextmanager
def progress(total: int, description: str, *, shown: bool = True) -> Iterator[Progress]:
    """Shows `total` items being worked off, with rate and time left.

    A bar on a terminal, otherwise a line every few seconds. Both go to standard error. Nothing if
    it is not `shown`.
    """
    if not shown:
        yield _Silent()
        return
    if not sys.stderr.isatty():
        lines = _Lines(total, description)
        try:
            yield lines
        finally:
            lines.end()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    from sandboxes.terminal import terminal, text_column

    columns = [text_column("{task.description}"), BarColumn(), MofNCompleteColumn()]
    columns += [text_column("{task.fields[rate]}"), TimeRemainingColumn()]
    columns += [text_column("{task.fields[text]}")]
    with RichProgress(*columns, console=terminal(stderr=True)) as drawn:
        yield _Bar(drawn, drawn.add_task(description, total=total, text="", rate=""))


def to_terminal(level: int = logging.INFO) -> None:
    """Prints what this project's modules log on standard error, one plain line each."""
    for package in ("scgrpo", "envs", "sandboxes", "evals"):
        logger = logging.getLogger(package)
        logger.setLevel(level)
        if not any(isinstance(handler, _Terminal) for handler in logger.handlers):
            logger.addHandler(_Terminal())
            logger.propagate = False


class _Terminal(logging.Handler):
    """Looks standard error up at each message, so that a progress bar can step aside."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the message at once."""
        print(self.format(record), file=sys.stderr, flush=True)


class _Silent:
    """Progress that is not shown."""

    def advance(self, count: int = 1, text: str = "") -> None:
        """Does nothing."""


class _Bar:
    """A task of a bar of rich."""

    def __init__(self, shown: Any, task: Any) -> None:
        self._shown = shown
        self._task = task
        self._started = time.monotonic()
        self._done = 0

    def advance(self, count: int = 1, text: str = "") -> None:
        """See `Progress.advance`."""
        self._done += count
        seconds = time.monotonic() - self._started
        rate = _rate(self._done, seconds)
        fields = {"text": text} if text else {}
        self._shown.update(self._task, advance=count, rate=rate, **fields)


class _Lines:
    """A plain line every few seconds, for output that is no terminal."""

    def __init__(self, total: int, description: str) -> None:
        self._total = total
        self._description = description
        self._done = 0
        self._text = ""
        self._started = self._printed = time.monotonic()
        self._printed_done = -1

    def advance(self, count: int = 1, text: str = "") -> None:
        """See `Progress.advance`."""
        self._done += count
        self._text = text or self._text
        if time.monotonic() - self._printed >= PLAIN_INTERVAL_S:
            self._print()

    def end(self) -> None:
        """Prints what the last line lacked."""
        if self._printed_done != self._done:
            self._print()

    def _print(self) -> None:
        done = self._done
        total = self._total
        self._printed = time.monotonic()
        self._printed_done = done
        seconds = self._printed - self._started

        parts = [
            f"{self._description}: {done}/{total}",
            _rate(done, seconds),
        ]
        if 0 < done < total:
            left = round(seconds / done * (total - done))
            minutes, rest = divmod(left, 60)
            parts.append(f"{minutes}:{rest:02d} left")
        if self._text:
            parts.append(self._text)
        print(", ".join(parts), file=sys.stderr, flush=True)


def _rate(done: int, seconds: float) -> str:
    per_second = done / max(seconds, 1e-9)
    if per_second >= 1 or done == 0:
        return f"{per_second:.1f}/s"
    return f"{1 / per_second:.1f} s each"


def _line(row: dict[str, Any]) -> str:
    """One line of JSON; not-a-number and infinity become null."""
    finite = dict(row)
    for key, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            finite[key] = None
    return json.dumps(finite, allow_nan=False) + "\n"
