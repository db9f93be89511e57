"""Environments whose turns are tool calls: an author writes methods and marks them as tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from envs.base import TextEnv
from envs.toolspec import Malformed, call, schema_of
from envs.types import Verdict

__all__ = ["ToolEnv", "tool"]

Method = TypeVar("Method", bound=Callable[..., str | Verdict])


def tool(method: Method) -> Method:
    """Marks a method of a ToolEnv as a tool that the policy may call."""
    method.__is_tool__ = True  # pyright: ignore[reportFunctionMemberAccess]
    return method


@cache
def _tools_of(kind: type) -> tuple[str, ...]:
    """Names of the tools of a class, those of its bases first."""
    names: dict[str, None] = {}
    for owner in reversed(kind.__mro__):
        for name, member in vars(owner).items():
            if hasattr(member, "__is_tool__"):
                names[name] = None
    return tuple(names)


class ToolEnv(TextEnv):
    """A TextEnv whose replies come from methods marked with `@tool`.

    A tool returns the reply, or a Verdict to end the episode. Its schema comes from its signature
    and docstring (see `toolspec.schema_of`). A turn that is no valid call of an offered tool costs
    a turn, is counted in `info["malformed"]`, and is answered with what is wrong.
    """

    def tool_names(self) -> Sequence[str]:
        """Names of the tools for `self.task`; all of them, in the order of definition."""
        return _tools_of(type(self))

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of the offered tools."""
        return [schema_of(getattr(self, name)) for name in self.tool_names()]

    def reply(self, text: str) -> str | Verdict:
        """Runs the tool that the turn calls."""
        answer = call({name: getattr(self, name) for name in self.tool_names()}, text)
        if isinstance(answer, Malformed):
            self.malformed += 1
            return answer.sentence
        return answer
