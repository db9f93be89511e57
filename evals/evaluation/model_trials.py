"""A model of a family goes through what a user does: check it, train it, evaluate it."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals import cli
from scgrpo.models.families import make_family
from scgrpo.runs.log import METRICS, read_metrics

__all__ = ["CRASH", "Trial", "try_family"]

ENV = "tool_store"
STEPS = 2
CRASH = "crashes"
SETTINGS = (
    "device=cpu",
    "dtype=float32",
    "limits.turn_tokens=24",
    "limits.episode_tokens=3000",
)
TRAINING = (
    f"env={ENV}",
    "algo=sc_grpo",
    "levels=0",
    f"max_steps={STEPS}",
    "tasks_per_step=1",
    "group_size=2",
    "warm_start.mode=always",
    "warm_start.episodes=4",
    "warm_start.steps=1",
    "warm_start.tasks_per_step=1",
    "name=trial",
)
EVALUATION = ("--levels", "0", "--tasks", "1", "--rollouts", "1")


@dataclass(frozen=True)
class Trial:
    """How a family's model went through.

    | field | meaning |
    |---|---|
    | family | its name in `scgrpo.models.families` |
    | about | what `scgrpo model check --json` says of it; empty if it failed |
    | check, training, evaluation | what came of each command: a few words, or why it failed |
    """

    family: str
    about: dict[str, Any]
    check: str
    training: str
    evaluation: str

    @property
    def outcomes(self) -> tuple[str, str, str]:
        """What came of each command."""
        return self.check, self.training, self.evaluation


@dataclass(frozen=True)
class _Outcome:
    """A command that has ended: what it printed, and why it failed; empty if it did not."""

    printed: str
    failure: str


def try_family(family: str, folder: Path) -> Trial:
    """Makes a tiny model of a family below `folder`, and plays, trains and evaluates it there."""
    model = make_family(family, folder / "model")
    runs = folder / "runs"
    with _cache(folder / "cache"):
        checked = _command("model", "check", str(model), "--json", *SETTINGS)
        about = json.loads(checked.printed) if checked.printed else {}
        words = [*TRAINING, *SETTINGS, f"model={model}", f"runs={runs}"]
        trained = _command("train", *words)
        training = trained.failure or _steps(runs / "trial")

        evaluation = "nothing to evaluate"
        if not trained.failure:
            out = folder / "evaluation"
            words = [str(runs / "trial"), *EVALUATION, "--out", str(out)]
            evaluation = _command("eval", *words).failure or _episodes(out)
    check = "; ".join(about.get("problems", ())) or checked.failure or "no problem"
    return Trial(family, about, check, training, evaluation)


def _command(*words: str) -> _Outcome:
    """What becomes of a command, as a user types it."""
    printed, errors = io.StringIO(), io.StringIO()
    failure = ""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            cli.main(words)
        except SystemExit as end:
            if end.code:
                failure = _message(errors.getvalue()) or f"ended with {end.code}"
        # A traceback is what the table must tell of: it is a bug, whatever was raised.
        except Exception as error:  # noqa: BLE001
            sentence = (str(error).splitlines() or [""])[0]
            failure = f"{CRASH}: {type(error).__name__}: {sentence}"
    return _Outcome(printed.getvalue(), failure)


def _message(errors: str) -> str:
    """The line in which a command says why it ends: the one with its name in front."""
    lines = [line for line in errors.splitlines() if line.startswith("scgrpo ")]
    return lines[-1] if lines else ""


@contextlib.contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Keeps warm starts of models of a moment out of the user's cache."""
    before = os.environ.get("SCGRPO_CACHE")
    os.environ["SCGRPO_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SCGRPO_CACHE"]
        else:
            os.environ["SCGRPO_CACHE"] = before


def _steps(run: Path) -> str:
    """What the run's metrics say of its steps, in words."""
    rows = read_metrics(run / METRICS)
    skipped = sum(bool(row.get("train/skipped")) for row in rows)
    mismatches = [row.get("train/logprob_mismatch") or 0.0 for row in rows]
    if skipped or not all(map(math.isfinite, mismatches)):
        return f"{skipped} of {len(rows)} steps had no finite gradient"
    return f"{len(rows)} steps"


def _episodes(folder: Path) -> str:
    """What an evaluation's report says of its episodes, in words."""
    (path,) = folder.glob("*.json")
    (row,) = json.loads(path.read_text())["rows"]
    scores = row["scores"].values()
    graded = sum(score["episodes"] for score in scores)
    errors = [score["error"] for score in scores if score["errors"]]
    return f"errored: {errors[0]}" if errors else f"{graded} episodes"
