"""Why an episode errored, as a short name that stays the same from one episode to the next."""

from __future__ import annotations

import errno
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from envs.types import PROMPT_TOO_LONG as PROMPT_TOO_LONG_ERROR
from envs.types import Episode

__all__ = [
    "ENGINE",
    "NO_VERDICT",
    "PROMPT_TOO_LONG",
    "UNKNOWN",
    "cause",
    "count_causes",
    "count_ungraded",
    "describe_causes",
    "describe_long_prompt",
]

NO_VERDICT, UNKNOWN, ENGINE = "no_verdict", "unknown", "engine"
ENGINE_ERRORS = ("ServerError", "EngineLostError")
PROMPT_TOO_LONG = "prompt_too_long"
SANDBOX = (
    ("sandbox_lost", r"\bis lost\b"),
    ("sandbox_no_room", r"No space left on device|Disk quota exceeded"),
    ("sandbox_no_file", r"does not take a file"),
    (
        "sandbox_none_free",
        r"none came back in|none was returned|ids for sandboxes are in use",
    ),
    ("sandbox_start_timeout", r"started in time"),
    ("sandbox_closed", r"\bis closed$|lease is over"),
    ("sandbox_docker", r"Docker cannot"),
)
"""Cause of a SandboxError, and a pattern of its message; the first match counts."""

MAX_LENGTH = 60
Number = TypeVar("Number", int, float)


def cause(error: str) -> str:
    """The cause that `Episode.error` names, in ASCII letters, digits and underscores.

    | what broke | cause |
    |---|---|
    | an error with a number of the system | its name: `ENOSPC`, `ECONNRESET` |
    | a sandbox | `sandbox_lost`, `sandbox_no_room` and the like; `SandboxError` for the rest |
    | what samples the turns | `engine` |
    | a prompt without room for a turn | `prompt_too_long` |
    | any other exception | its class: `KeyError` |
    | the verifier, without an exception | `no_verdict` |
    | any other text | `unknown` |

    It is read from the text, so that the files of earlier versions have causes too. The numbers
    are those of this system.
    """
    if error == "the verifier gave no verdict":
        return NO_VERDICT
    parts = re.match(r"([A-Za-z_]\w*):\s*(.*)", error, re.ASCII)
    if parts is None:
        return UNKNOWN
    kind, message = parts.groups()

    # Only at the start is it Python's own: what a policy wrote may follow.
    if system := re.match(r"\[Errno (\d{1,9})\]", message):
        number = int(system[1])
        return errno.errorcode.get(number, f"errno_{number}")
    if kind == PROMPT_TOO_LONG_ERROR:
        return PROMPT_TOO_LONG
    if kind in ENGINE_ERRORS:
        return ENGINE
    if kind == "SandboxError":
        for name, pattern in SANDBOX:
            if re.search(pattern, message):
                return name
        return kind
    return kind[:MAX_LENGTH]


def count_causes(episodes: Iterable[Episode]) -> dict[str, int]:
    """Cause -> errored episodes, the most frequent first."""
    errored = [episode for episode in episodes if episode.errored]
    return _by_size(Counter(cause(episode.error) for episode in errored))


def count_ungraded(episodes: Sequence[Episode]) -> dict[str, int]:
    """Why episodes have no verdict: those of `count_causes`, and the prompts that were too long."""
    counts = count_causes(episodes)
    too_long = sum(episode.prompt_too_long for episode in episodes)
    return _by_size(counts | {PROMPT_TOO_LONG: too_long})


def describe_causes(counts: Mapping[str, float]) -> str:
    """`ENOSPC 2, sandbox_lost 1`, without causes that have no episode; empty for none."""
    parts: list[str] = []
    for name, count in _by_size(counts).items():
        if count:
            parts.append(f"{name} {count:.0f}")
    return ", ".join(parts)


def describe_long_prompt(episode: Episode) -> str:
    """Why an episode could not begin: its task, the tokens of its prompt, and the budget."""
    _, _, reason = episode.error.partition(": ")
    return f"task {episode.task.id}: {reason}"


def _by_size(counts: Mapping[str, Number]) -> dict[str, Number]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
