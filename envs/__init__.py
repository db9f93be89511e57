"""Verified multi-turn environments, under `scgrpo/` in Gymnasium's registry.

To write an environment: `from envs import ToolEnv, TextEnv, tool, Task, Verdict, register`.
To use one: `from envs import make, play`, or `gymnasium.make("scgrpo/toy_guess")`.

Importing this package registers our environments by their address alone. A module of theirs is
imported when one of it is made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from envs.base import TextEnv
from envs.registry import make, register, register_own
from envs.types import Task, Verdict

if TYPE_CHECKING:
    from envs.rollout import play
    from envs.tool_env import ToolEnv, tool

__all__ = [
    "Task",
    "TextEnv",
    "ToolEnv",
    "Verdict",
    "make",
    "play",
    "register",
    "tool",
]

_LAZY = {"ToolEnv": "envs.tool_env", "play": "envs.rollout", "tool": "envs.tool_env"}


def __getattr__(name: str) -> Any:
    """The names that only some users need, imported at their first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'envs' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


register_own()
