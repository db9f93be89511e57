"""What a report says of errored episodes: their causes, and which way they bend a rate.

Both functions take a score as the JSON report holds it. One of an earlier version has no causes,
and nothing is said of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scgrpo.training.causes import describe_causes

__all__ = ["causes_line", "warning"]

LEAST = 3
SHARE = 0.02


def causes_line(label: str, cell: object, score: Mapping[str, Any]) -> str:
    """How many episodes of a model on a cell errored by what; empty for none."""
    causes = score.get("causes") or {}
    if not causes:
        return ""
    total = sum(causes.values())
    line = f"Errored episodes of {label} on {cell}: {describe_causes(causes)}, of {_episodes(score)}."
    if later := total - score["errors"]:
        line += f" For {later} of these {total} a later try counts."
    return line


def warning(label: str, cell: object, score: Mapping[str, Any]) -> str:
    """Where one cause has at least 3 episodes and over 2 % of all: what that does to the rate.

    With a bound: the success if every errored episode had failed.
    """
    causes, episodes = score.get("causes") or {}, _episodes(score)
    many = {k: v for k, v in causes.items() if v >= LEAST and v > SHARE * episodes}
    if not many:
        return ""
    shares = ", ".join(f"{100 * v / episodes:.1f} % by {k}" for k, v in many.items())
    success, bound = (
        _percent(score["success"]["value"]),
        _percent(score["success_bound"]),
    )
    return (
        f"Warning: of {episodes} episodes of {label} on {cell} many errored: {shares}. Success "
        "and differences leave them out, or count a later try, so they are too high where such "
        "episodes would have failed, as with a policy that breaks its sandbox instead of failing. "
        f"With all {sum(causes.values())} errored episodes as failures success is {bound}, "
        f"not {success}."
    )


def _episodes(score: Mapping[str, Any]) -> int:
    """With a verdict and without."""
    return score.get("episodes", 0) + score.get("errors", 0)


def _percent(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{100 * value:.1f} %"
