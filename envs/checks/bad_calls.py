"""Attacks by calls that are broken or whose arguments are out of range. Each must score 0."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from envs.checks.attacks import play_attack
from envs.checks.env_under_test import EnvUnderTest, NotDefined
from envs.checks.turns import bare_calls, filled_calls

__all__ = ["broken_calls", "extreme_arguments", "wrong_types"]

FAR = 10**17
EXTREMES = 3
"""Extreme values of each type."""

_MALFORMED = (
    "{",
    '{"name": "submit"',
    '{"name": 3}',
    '{"name": "no_such_tool"}',
    '{"name": "__init__"}',
    '{"name": "close"}',
    '{"name": "submit", "arguments": [1]}',
    '{"name": "submit", "arguments": {"no_such_argument": 1}}',
    '{"name": "submit", "name": "submit"}',
    '{"name": "submit"}{"name": "submit"}',
    "<tool_call>",
    "<tool_call></tool_call>",
    "```json\n{}\n```",
    "[" * 5000,
    '{"a":' * 5000,
    "NaN",
    "1/0",
    "1e999",
    "9" * 5000,
)
_PLAIN = {
    "string": '"x"',
    "integer": "1",
    "number": "1",
    "boolean": "true",
    "array": "[]",
}
_DEEP = '{"a":' * 200 + "null" + "}" * 200
_WRONG_TYPES: Mapping[str, Sequence[str]] = {
    "string": ("null", "3", "true", '["x"]', '{"x": "y"}', _DEEP),
    "integer": ("null", '"3"', "true", "1.5", "[3]", "NaN", '{"x": 3}'),
    "number": ("null", '"3"', "true", "[3]", "NaN", "-Infinity", "1e999", '{"x": 3}'),
    "boolean": ("null", '"true"', "3", "[]", "{}"),
    "array": ("null", '"x"', "3", "{}", "[[[]]]", '{"length": 1}'),
    "object": ("null", '"x"', "3", "[]", '[["a", 1]]', _DEEP),
}


def broken_calls(subject: EnvUnderTest) -> Iterator[str]:
    """Turns that are broken calls, or calls of what is no tool, score 0."""
    for task in subject.some():
        for turn in _MALFORMED:
            yield from play_attack(
                subject,
                task,
                [turn],
                attack=f"the turn {turn!r:.40}",
            )


def extreme_arguments(subject: EnvUnderTest) -> Iterator[str]:
    """Every tool with arguments out of any range scores 0 and raises nothing."""
    tools_seen = 0
    for task in subject.few():
        # An enumeration or a boolean has no value out of range, and one of them may be right.
        all_tools = subject.tools(task)
        tools = [tool for tool in all_tools if _has_a_range(tool)]
        ends = bare_calls(all_tools)[-1:]
        tools_seen += len(tools)

        for call in _extreme_calls(tools):
            yield from play_attack(
                subject,
                task,
                [call, call, *ends],
                attack="an extreme argument",
            )
    if not tools_seen:
        raise NotDefined("it offers no tools whose arguments could be out of range")


def _extreme_calls(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """A call of each tool with each of the `EXTREMES` extreme values."""
    calls: list[str] = []
    for which in range(EXTREMES):

        def fill(_: str, schema: Mapping[str, Any], which: int = which) -> Any:
            """The extreme value of that number."""
            return _extreme(schema, which)

        calls += filled_calls(tools, fill)
    return calls


def wrong_types(subject: EnvUnderTest) -> Iterator[str]:
    """Every tool with arguments of other types, or too few, scores 0 and raises nothing."""
    played = 0
    for task in subject.few():
        tools = subject.tools(task)
        ends = bare_calls(tools)[-1:]
        turns: list[str] = []
        for tool in tools:
            turns += _calls_of_wrong_types(tool)
        played += len(turns)

        # As many in an episode as its turns allow.
        budget = subject.env.turn_budget(task)
        size = max(budget - len(ends), 1)
        for start in range(0, len(turns), size):
            part = turns[start : start + size]
            yield from play_attack(
                subject,
                task,
                part + ends,
                attack="calls of wrong types",
            )
    if not played:
        raise NotDefined("it offers no tools that take arguments")


def _calls_of_wrong_types(tool: Mapping[str, Any]) -> Iterator[str]:
    """Calls as text, for JSON knows values that nothing else writes."""
    properties = tool["parameters"]["properties"]
    required = tool["parameters"]["required"]
    valid: dict[str, str] = {}
    for name, schema in properties.items():
        valid[name] = _valid_json(schema)

    # One fault at a time: whatever else is valid could be right by chance.
    for missing in required:
        rest = dict(valid)
        rest.pop(missing, None)
        yield _call_text(tool["name"], rest)
    for name, schema in properties.items():
        for wrong in _WRONG_TYPES[schema["type"]]:
            # An argument that is not required may be null.
            if name in required or wrong != "null":
                yield _call_text(tool["name"], {**valid, name: wrong})


def _valid_json(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return json.dumps(schema["enum"][0])
    return _PLAIN.get(schema["type"], "{}")


def _call_text(name: str, arguments: Mapping[str, str]) -> str:
    """A call whose arguments are JSON texts already."""
    pairs: list[str] = []
    for key, value in arguments.items():
        key_text = json.dumps(key)
        pairs.append(f"{key_text}: {value}")

    name_text = json.dumps(name)
    object_text = ", ".join(pairs)
    return f'{{"name": {name_text}, "arguments": {{{object_text}}}}}'


def _has_a_range(tool: Mapping[str, Any]) -> bool:
    schemas = tool["parameters"]["properties"].values()
    ranged = [schema for schema in schemas if "enum" not in schema]
    return any(schema["type"] != "boolean" for schema in ranged)


def _extreme(schema: Mapping[str, Any], which: int) -> Any:
    """One of the `EXTREMES` extreme values of a parameter."""
    if "enum" in schema:
        return schema["enum"][0]
    texts = (
        "",
        "../" * 40,
        "\x00\u202e\u6f22" * 50,
    )
    keys = [str(number) for number in range(1000)]
    arrays = (
        [texts[which]] * 1000,
        [-FAR] * 1000,
        [None],
    )
    objects = (
        {"": ""},
        dict.fromkeys(keys, -FAR),
        {"a": None},
    )
    values = {
        "string": texts,
        "integer": (-FAR, FAR, -(2**31) - 1),
        "number": (-1e308, 1e308, 5e-324),
        "boolean": (True, True, True),
        "array": arrays,
        "object": objects,
    }
    values_of_type = values[schema["type"]]
    return values_of_type[which]
