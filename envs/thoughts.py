"""What a reasoning model thinks, apart from what it does. Standard library only."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import NamedTuple

__all__ = ["CLOSING_OF", "SplitTurn", "after_thought", "split_thought"]

CLOSING_OF = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|channel>thought": "<channel|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|channel|>analysis<|message|>": "<|end|>",
    "<|channel|>commentary<|message|>": "<|end|>",
}
"""What opens a thought and what closes it, by the templates of the models that think."""

_OPENING = re.compile("|".join(re.escape(opening) for opening in CLOSING_OF))
_CLOSING = re.compile("|".join(re.escape(closing) for closing in CLOSING_OF.values()))
# These close other things too, so alone they say nothing of a thought.
_NEED_OPENING = {"<|end|>", "<channel|>"}
_BARE_CALL = re.compile(r"(?:\A|\n)[ \t]*(?=\{)")
_TAGGED_CALL = re.compile(r"<tool_call>\s*(?=\{)")
_END_TAG = "</tool_call>"
MAX_STARTS = 16


class SplitTurn(NamedTuple):
    """A turn in two parts.

    | field | meaning |
    |---|---|
    | thought | with its marks; empty for a turn without one |
    | action | what follows the last thought; empty if that one never closes |
    | is_closed | False inside a thought that never closes |
    """

    thought: str
    action: str
    is_closed: bool


def after_thought(text: str) -> str:
    """What a turn does: all of it without a thought, else what follows the last one.

    A thought that never closes is followed by nothing: the result is empty.
    """
    return split_thought(text).action


def split_thought(text: str, *, is_open: bool = False) -> SplitTurn:
    """Splits a turn behind its last thought. No input raises.

    `is_open` says that the prompt has opened a thought already. Without it, a closing mark alone
    still ends a thought, since templates that open one leave such turns. Marks inside the strings
    of a tool call that ends the turn are text.
    """
    end = _start_of_last_call(text)
    openings = [match.end() for match in _OPENING.finditer(text, 0, end)]
    last_opening = openings[-1] if openings else 0
    last_closing = 0
    for match in _CLOSING.finditer(text, 0, end):
        is_opened = is_open or (openings and openings[0] <= match.start())
        if is_opened or match[0] not in _NEED_OPENING:
            last_closing = match.end()

    if last_closing:
        # Behind it, another one may have begun.
        if last_opening > last_closing:
            return SplitTurn(text, "", is_closed=False)
        return SplitTurn(text[:last_closing], text[last_closing:], is_closed=True)
    if last_opening or is_open:
        return SplitTurn(text, "", is_closed=False)
    return SplitTurn("", text, is_closed=True)


def _start_of_last_call(text: str) -> int:
    """Where the call begins with which the turn ends; its length if it ends with none."""
    body = text.rstrip()
    pattern = _BARE_CALL
    if body.endswith(_END_TAG):
        body = body[: -len(_END_TAG)]
        pattern = _TAGGED_CALL
    elif not body.endswith("}"):
        return len(text)

    # A call's strings may hold what looks like the start of another, so the first that fits.
    for match in islice(pattern.finditer(body), MAX_STARTS):
        if _is_object(body[match.end() :]):
            return match.start()
    return len(text)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except (ValueError, RecursionError):
        return False
