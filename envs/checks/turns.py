"""Turns that an attacker writes: calls of tools, and the oracle's turns with other text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from envs.toolspec import Call, parse_call, render_call

__all__ = [
    "bare_calls",
    "closing_calls",
    "filled_calls",
    "is_path",
    "smallest",
    "takes_any_string",
    "with_text",
]

_PATH = re.compile(r"path|file|folder|director|\bdir\b", re.IGNORECASE)
_LAST = ("submit", "finish", "done", "answer", "end")
_FENCED = re.compile(r"(```\w*\n)(.*?)(\n```)", re.DOTALL)

Tool = Mapping[str, Any]
Fill = Callable[[str, Mapping[str, Any]], Any]


def is_path(parameter: str) -> bool:
    """Whether a parameter's name says that it takes a path."""
    return _PATH.search(parameter) is not None


def bare_calls(tools: Sequence[Tool]) -> list[str]:
    """A call of each tool that needs no argument, those that end an episode last."""
    names: list[str] = []
    last_names: list[str] = []
    for tool in tools:
        name = tool["name"]
        if tool["parameters"]["required"]:
            continue
        if name in _LAST:
            last_names.append(name)
        else:
            names.append(name)
    return [render_call(name) for name in names + last_names]


def closing_calls(tools: Sequence[Tool], budget: int) -> list[str]:
    """At most `budget` bare calls, those that end an episode among them."""
    # A slice from -0 would be all of them.
    if budget <= 0:
        return []
    return bare_calls(tools)[-budget:]


def filled_calls(tools: Sequence[Tool], fill: Fill) -> Iterator[str]:
    """A call of each tool that takes arguments, with what `fill(name, schema)` gives for each.

    None leaves an argument out, and the tool too if the argument is required.
    """
    for tool in tools:
        parameters = tool["parameters"]
        arguments: dict[str, Any] = {}
        for name, schema in parameters["properties"].items():
            value = fill(name, schema)
            if value is not None:
                arguments[name] = value

        required = set(parameters["required"])
        if arguments and required <= set(arguments):
            yield render_call(tool["name"], **arguments)


def smallest(schema: Mapping[str, Any]) -> Any:
    """A harmless value of a parameter: the first of its enumeration, else 1, true, [], {} or ""."""
    if "enum" in schema:
        return schema["enum"][0]
    values = {
        "integer": 1,
        "number": 1,
        "boolean": True,
        "array": [],
        "object": {},
    }
    return values.get(schema["type"], "")


def takes_any_string(schema: Mapping[str, Any]) -> bool:
    """Whether a parameter is a string that may be anything."""
    return schema["type"] == "string" and "enum" not in schema


def with_text(turns: Sequence[str], change: Callable[[str], str]) -> list[str] | None:
    """The oracle's turns with each text changed; None if there is none to change.

    Texts are the strings among a call's arguments that are no paths, the code in a fence, and a
    whole turn that is no call.
    """
    changed = [_with_text(turn, change) for turn in turns]
    return None if changed == list(turns) else changed


def _with_text(turn: str, change: Callable[[str], str]) -> str:
    call = parse_call(turn)
    if not isinstance(call, Call):
        fenced = _FENCED.sub(partial(_with_code, change=change), turn)
        return change(turn) if fenced == turn else fenced

    arguments = dict(call.arguments)
    for name, value in arguments.items():
        if isinstance(value, str) and not is_path(name):
            arguments[name] = change(value)
    return render_call(call.name, **arguments)


def _with_code(fenced: re.Match[str], change: Callable[[str], str]) -> str:
    start, code, end = fenced.groups()
    return f"{start}{change(code)}{end}"
