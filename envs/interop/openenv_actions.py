"""How the text of a turn becomes an action of a foreign environment, and its answer a text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from envs.toolspec import Malformed, parse_call

__all__ = ["Actions", "actions_of", "words_of"]

MCP_TITLES = ("Action", "CallToolAction", "ListToolsAction")
BOOKKEEPING = ("metadata", "done", "reward")
TEXT_FIELDS = ("text", "message", "prompt", "content", "observation")


@dataclass(frozen=True)
class Actions:
    """How turns become actions.

    | field | meaning |
    |---|---|
    | text_field | the action's one field, which takes the whole turn; empty if there are others |
    | tools | OpenAI function schemas; a turn calls one of them |
    | lists_tools | the environment is an MCP server, which says its tools in each session |
    """

    text_field: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    lists_tools: bool = False

    def with_tools(self, listed: Sequence[Mapping[str, Any]]) -> Actions:
        """The same, of an MCP server that lists these tools."""
        return replace(self, tools=tuple(_from_mcp(tool) for tool in listed))

    def parse(self, text: str) -> dict[str, Any] | str:
        """The action that a turn means, or what is wrong with it."""
        if self.text_field:
            return {self.text_field: text}
        call = parse_call(text)
        if isinstance(call, Malformed):
            return call.sentence
        names = [tool["function"]["name"] for tool in self.tools]
        if call.name not in names:
            reason = f"there is no tool {call.name!r}; tools: {', '.join(names)}"
            return Malformed(reason).sentence
        if not self.lists_tools:
            return dict(call.arguments)
        arguments = dict(call.arguments)
        return {"type": "call_tool", "tool_name": call.name, "arguments": arguments}


def actions_of(schema: Mapping[str, Any]) -> Actions:
    """The actions that a JSON schema of OpenEnv's `/schema` describes."""
    title = schema.get("title", "")
    properties = {
        name: field
        for name, field in schema.get("properties", {}).items()
        if name not in BOOKKEEPING
    }
    if title in MCP_TITLES or not properties:
        return Actions(lists_tools=True)
    required = [name for name in schema.get("required", ()) if name in properties]
    if len(required) == 1 and properties[required[0]].get("type") == "string":
        return Actions(text_field=required[0])

    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", title.removesuffix("Action")).lower()
    parameters = {"type": "object", "properties": properties, "required": required}
    if "$defs" in schema:
        parameters["$defs"] = schema["$defs"]
    function = {
        "name": name or "act",
        "description": schema.get("description", ""),
        "parameters": parameters,
    }
    return Actions(tools=({"type": "function", "function": function},))


def words_of(observation: Mapping[str, Any]) -> str:
    """An observation as text: its one field that says something, or all of them as JSON."""
    fields = {
        name: value
        for name, value in observation.items()
        if name not in BOOKKEEPING and value not in (None, "", [], {})
    }
    if "result" in fields and "tool_name" in fields:
        return _tool_result(fields)
    for name in TEXT_FIELDS:
        if isinstance(fields.get(name), str) and len(fields) == 1:
            return fields[name]
    if len(fields) == 1:
        (value,) = fields.values()
        if isinstance(value, str):
            return value
    if "messages" in fields or "tools" in fields:
        text = fields.get("text")
        if isinstance(text, str):
            return text
    return json.dumps(fields, ensure_ascii=False)


def _tool_result(fields: Mapping[str, Any]) -> str:
    """What an MCP tool returned, or its error."""
    if fields.get("error"):
        error = fields["error"]
        return f"error: {error.get('message', error) if isinstance(error, dict) else error}"
    result = fields["result"]
    if isinstance(result, dict):
        # FastMCP gives the value thrice: as content, structured, and as data.
        if result.get("data") is not None:
            result = result["data"]
        elif result.get("content"):
            parts = [part.get("text", "") for part in result["content"]]
            return "\n".join(parts)
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def _from_mcp(tool: Mapping[str, Any]) -> dict[str, Any]:
    parameters = tool.get("input_schema") or tool.get("inputSchema") or {}
    function = {
        "name": tool["name"],
        "description": tool.get("description") or "",
        "parameters": {"type": "object", "properties": {}, **parameters},
    }
    return {"type": "function", "function": function}
