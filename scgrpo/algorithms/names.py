"""What `algo=` may say. Without torch, so that a command refuses a wrong name at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["ALGORITHM_NAMES", "check_name", "near_name"]

ALGORITHM_NAMES = (
    "grpo",
    "dapo",
    "dr_grpo",
    "gspo",
    "rloo",
    "reinforce_pp",
    "entropy_80_20",
    "sc_grpo",
    "process_grpo",
    "gigpo",
    "distill_forward",
    "distill_reverse",
    "distill_both",
    "opsd",
    "opsd_jsd",
    "opd",
)
"""The presets of `presets.ALGORITHMS`, in its order."""


def check_name(name: str) -> None:
    """Raises ValueError for a name that is neither a preset's nor of the form `module:NAME`."""
    if ":" not in name:
        if name not in ALGORITHM_NAMES:
            raise ValueError(
                f"unknown algorithm algo={name!r}; {near_name(name, ALGORITHM_NAMES)}known: "
                f"{', '.join(sorted(ALGORITHM_NAMES))}; or module:NAME for one of your own"
            )
        return

    module, _, attribute = name.partition(":")
    if not all(map(str.isidentifier, [*module.split("."), attribute])):
        raise ValueError(
            f"got algo={name!r}, expected module:NAME as in my_rules:MINE: a module as "
            "`import` takes it, without .py, and a name in it"
        )


def near_name(name: str, known: Iterable[str]) -> str:
    """`did you mean X? ` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean {near[0]}? " if near else ""
