"""A base model that an evaluation leaves out, because the run measured that it solves nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evals.report.tables import load_estimate, rate
from evals.statistics import Estimate

__all__ = ["UnsolvedBase", "left_out_notes"]

KEY = "left_out"
"""Of the provenance of a report."""


@dataclass(frozen=True)
class UnsolvedBase:
    """What a run measured of its base model before it trained: on training tasks, sampled.

    | field | meaning |
    |---|---|
    | name | the model as the run names it |
    | env, level | whose training tasks |
    | success | its success there: 0, with its interval |
    """

    name: str
    env: str
    level: int
    success: Estimate

    def __str__(self) -> str:
        shown = rate(self.success)
        return (
            f"base {self.name} is left out: before the warm start it solved 0 of "
            f"{self.success.episodes} episodes on {self.success.tasks} training tasks of "
            f"{self.env} level {self.level} ({shown.value}, 95 % interval {shown.interval}). "
            f"--base {self.name} evaluates it"
        )

    def provenance(self) -> dict[str, Any]:
        """The entry of a report's provenance. JSON-able."""
        return {KEY: asdict(self)}


def left_out_notes(provenance: Mapping[str, Any]) -> Iterator[str]:
    """The sentence of a report on a model that was left out, if one was."""
    about = provenance.get(KEY)
    if about:
        success = load_estimate(about["success"])
        yield f"{UnsolvedBase(**{**about, 'success': success})}."
