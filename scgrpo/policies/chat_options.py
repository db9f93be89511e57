"""What a chat template is given besides the messages. Plain values: settings read this module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

__all__ = ["ChatOptions"]


@dataclass(frozen=True)
class ChatOptions:
    """What a chat template is given besides the messages.

    | field | meaning |
    |---|---|
    | enable_thinking | whether a reasoning model thinks; empty: as its template does by default |
    | options | other variables of the template, such as chat.options.reasoning_effort=low |
    | date | the day that templates which print one are told, as YYYY-MM-DD |
    """

    enable_thinking: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    date: str = "2026-01-01"

    def __post_init__(self) -> None:
        try:
            date.fromisoformat(self.date)
        except ValueError as error:
            raise ValueError(
                f"chat.date must be a day as YYYY-MM-DD, got {self.date!r}"
            ) from error

    def variables(self) -> dict[str, Any]:
        """The template's variables."""
        variables = dict(self.options)
        if self.enable_thinking is not None:
            variables["enable_thinking"] = self.enable_thinking
        return variables
