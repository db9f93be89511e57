"""Python text to syntax trees, in many threads at once. Standard library only."""

from __future__ import annotations

import ast
import threading
from typing import Any

__all__ = ["literal", "parse"]

_LOCK = threading.RLock()
_TRIES = 5


def parse(text: str | bytes, mode: str = "exec") -> Any:
    """`ast.parse`, one thread at a time: an `ast.Module`, or an `ast.Expression` in mode `eval`.

    CPython 3.11 keeps one depth for all threads while it builds a tree. If the collector runs
    Python code then, another thread may go on, and a build of its own ends with "AST constructor
    recursion depth mismatch". Raises what `ast.parse` raises.
    """
    for _ in range(_TRIES - 1):
        try:
            with _LOCK:
                return ast.parse(text, mode=mode)
        except SystemError:
            # A thread without the lock, such as an import's, was building too.
            continue
    with _LOCK:
        return ast.parse(text, mode=mode)


def literal(text: str) -> Any:
    """`ast.literal_eval` by way of `parse`. Raises what it raises."""
    return ast.literal_eval(parse(text.lstrip(" \t"), "eval"))
