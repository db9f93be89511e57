"""Environments whose tasks are files to change, so that an agent with a shell can work on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from envs.types import Verdict

__all__ = ["MAX_FILE_CHARS", "FileTasks"]

MAX_FILE_CHARS = 200_000
"""Longest file that an agent may hand in."""


@runtime_checkable
class FileTasks(Protocol):
    """What an environment adds so that others' agents can work on its tasks.

    Each method is about the current task, that of the last `reset`. The agent gets the files in a
    sandbox of its own; what it leaves in those that it may change is graded elsewhere.
    """

    def agent_prompt(self) -> str:
        """What the agent is told, in words that name none of the environment's own tools."""
        ...

    def files(self) -> Mapping[str, str]:
        """Text by path, as the agent finds it; nothing that grades is among it."""
        ...

    def editable(self) -> Sequence[str]:
        """The paths whose final text is graded; changes of others have no effect."""
        ...

    def grade_files(self, texts: Mapping[str, str]) -> Verdict:
        """The verdict on the final text of every path of `editable`.

        Raises SandboxError if what grades it broke: there is no verdict then.
        """
        ...
