"""Where the time of training steps goes: seconds and tokens of each stage, if a profile records.

Code names what it does with `with stage("decode", tokens):`. Like PyTorch's own profiler, a process
has one profile at most, so that engines and their threads need not be handed it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

__all__ = [
    "HEADER",
    "STAGES",
    "StageProfile",
    "StageTotal",
    "describe_stages",
    "reading_stage",
    "recording",
    "stage",
    "stage_lines",
    "stage_totals",
]

STAGES: Mapping[str, str] = {
    "prefill": "every row reads several tokens: prompts, replies; tokens read",
    "mixed": "some rows read several tokens, others their last one; tokens read",
    "decode": "every row reads its last token; tokens read",
    "sampling": "output layer, draw, end of turn; tokens sampled",
    "waiting": "environments, and turns of an engine outside this process",
    "references": "what the teacher reads in front of each row; tokens of those prompts",
    "teacher_forward": "the model after those prompts, and one row read again; tokens read",
    "student_forward": "the model after the rows' own prompts; tokens read",
    "backward": "gradients; action tokens",
    "optimizer": "gradient norm, Adam, rounding",
    "weight_sync": "new weights for sampling",
    "checkpoint": "saving",
    "log": "episodes, credit and metrics on disk",
    "other": "the rest",
}
"""The stages in a step's order: what each does; what its tokens are."""

PREFIX = "profile/"
HEADER = ("stage", "s a step", "share", "cores", "tokens a step", "tokens/s")
"""Of the table that `stage_lines` fills."""


@dataclass
class StageTotal:
    """What a stage took over several steps.

    | field | meaning |
    |---|---|
    | wall_s | seconds on the wall |
    | processor_s | seconds of all cores that this process used meanwhile |
    | tokens | see `STAGES`; 0 for a stage without any |
    """

    wall_s: float = 0.0
    processor_s: float = 0.0
    tokens: int = 0


class StageProfile:
    """Adds up seconds and tokens of each stage while it is `recording`.

    At each moment the stage that was entered last, in whatever thread, gets the time: a stage does
    not count the stages within it, and all of them add up to the time that was recorded. On a GPU
    each stage waits for its kernels, which would else run in a later one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[str, StageTotal] = {}
        self._open: list[_Stage] = []
        self._last: np.ndarray | None = None
        """The clocks when time was last assigned; None while nothing is recorded."""

    def start(self) -> None:
        """Begins to record."""
        with self._lock:
            self._last = _clocks()

    def stop(self) -> None:
        """Records no more until the next start."""
        with self._lock:
            self._assign_time()
            self._last = None

    def log(self) -> dict[str, float]:
        """Numbers to log of what was recorded since the last call."""
        with self._lock:
            self._assign_time()
            totals, self._totals = self._totals, {}
        log: dict[str, float] = {}
        for name, total in totals.items():
            log[f"{PREFIX}{name}/wall_s"] = total.wall_s
            log[f"{PREFIX}{name}/processor_s"] = total.processor_s
            if total.tokens:
                log[f"{PREFIX}{name}/tokens"] = float(total.tokens)
        return log

    def enter(self, entered: _Stage) -> None:
        """Gives the time from now on to that stage."""
        with self._lock:
            self._assign_time()
            self._open.append(entered)

    def leave(self, left: _Stage) -> None:
        """Gives the time from now on to the stage that was entered last of those still open."""
        with self._lock:
            self._assign_time()
            self._open.remove(left)
            # Another thread may have stopped the recording meanwhile.
            if self._last is not None:
                self._total(left.name).tokens += left.tokens

    def _assign_time(self) -> None:
        if self._last is None:
            return
        now = _clocks()
        total = self._total(self._open[-1].name if self._open else "other")
        wall, processor = now - self._last
        total.wall_s += float(wall)
        total.processor_s += float(processor)
        self._last = now

    def _total(self, name: str) -> StageTotal:
        return self._totals.setdefault(name, StageTotal())


class _Stage:
    """One passage through a stage. A context manager."""

    def __init__(self, profile: StageProfile, name: str, tokens: int) -> None:
        self._profile = profile
        self.name = name
        self.tokens = tokens

    def add(self, tokens: int) -> None:
        """Counts tokens that were not known at its beginning."""
        self.tokens += tokens

    def __enter__(self) -> Self:
        self._profile.enter(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._profile.leave(self)


class _NotRecorded:
    """A stage that is not measured."""

    def add(self, tokens: int) -> None:
        """Does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


_active: StageProfile | None = None
_NOT_RECORDED = _NotRecorded()


def stage(name: str, tokens: int = 0) -> _Stage | _NotRecorded:
    """The block is that stage of `STAGES`, and works on that many tokens. A context manager."""
    if _active is None:
        return _NOT_RECORDED
    if name not in STAGES:
        raise ValueError(f"got stage {name!r}, expected one of {', '.join(STAGES)}")
    return _Stage(_active, name, tokens)


def reading_stage(counts: Sequence[int]) -> str:
    """The stage in which the rows of a batch read that many tokens each."""
    if max(counts) == 1:
        return "decode"
    return "mixed" if min(counts) == 1 else "prefill"


@contextmanager
def recording(profile: StageProfile | None) -> Iterator[None]:
    """The profile records the block's stages; without one, nothing does."""
    global _active
    if profile is None:
        yield
        return
    profile.start()
    _active = profile
    try:
        yield
    finally:
        _active = None
        profile.stop()


def stage_totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, StageTotal]:
    """Sums over rows of a run's metrics, in the order of `STAGES`; empty without a profile."""
    totals: dict[str, StageTotal] = {}
    for name in STAGES:
        key = f"{PREFIX}{name}"
        of_stage = [row for row in rows if f"{key}/wall_s" in row]
        if of_stage:
            totals[name] = StageTotal(
                sum(row[f"{key}/wall_s"] for row in of_stage),
                sum(row[f"{key}/processor_s"] for row in of_stage),
                round(sum(row.get(f"{key}/tokens", 0) for row in of_stage)),
            )
    return totals


def stage_lines(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Lines of a table of the stages under `HEADER`, means over the steps that were profiled.

    A last line has their sum; empty without a profile.
    """
    totals = stage_totals(rows)
    if not totals:
        return []
    steps = sum(f"{PREFIX}other/wall_s" in row for row in rows)
    whole = StageTotal(
        sum(total.wall_s for total in totals.values()),
        sum(total.processor_s for total in totals.values()),
    )
    lines: list[list[str]] = []
    for name, total in {**totals, "step": whole}.items():
        tokens = rate = ""
        if total.tokens:
            tokens = f"{total.tokens / steps:.0f}"
            rate = f"{total.tokens / total.wall_s:.0f}"
        lines.append(
            [
                name.replace("_", " "),
                f"{total.wall_s / steps:.2f}",
                f"{100 * total.wall_s / whole.wall_s:.1f} %",
                f"{total.processor_s / total.wall_s:.2f}",
                tokens,
                rate,
            ]
        )
    return lines


def describe_stages(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same table as text, its columns aligned."""
    lines = [list(HEADER), *stage_lines(rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown: list[str] = []
    for first, *numbers in lines:
        cells = [first.ljust(widths[0])]
        for number, width in zip(numbers, widths[1:], strict=True):
            cells.append(number.rjust(width))
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def _clocks() -> np.ndarray:
    """Seconds on the wall, and of this process's cores."""
    # Whoever profiles a model has loaded torch; the settings and the report need not.
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return np.array([time.perf_counter(), time.process_time()])
