"""BFCL's functions as tools, and its gold calls, which are Python text, as calls of them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache
from inspect import Parameter, Signature
from typing import Any

from envs.parsing import parse
from envs.tools.bfcl.wheel import CLASSES, rows
from envs.toolspec import render_call

__all__ = ["Call", "functions", "owner", "parse_gold", "render_gold"]

Call = tuple[str, dict[str, Any]]

_TYPES = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "dict": dict,
    "array": list,
}


def render_gold(text: str) -> str:
    """The turn that makes a gold call."""
    name, arguments = parse_gold(text)
    return render_call(name, **arguments)


@cache
def _documents(class_name: str) -> Mapping[str, Mapping[str, Any]]:
    """The published description of each function of a class."""
    documents = rows(f"multi_turn_func_doc/{CLASSES[class_name]}")
    return {document["name"]: document for document in documents}


@cache
def owner(name: str) -> str:
    """The class that a function belongs to; no two share a name."""
    return next(class_name for class_name in CLASSES if name in _documents(class_name))


def parse_gold(text: str) -> Call:
    """Name and arguments of a gold call, which is Python text without nesting."""
    node = parse(text, "eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    document = _documents(owner(name))[name]
    properties = document["parameters"]["properties"]

    # Positional arguments are named by the published order of the parameters.
    arguments = {}
    for key, argument in zip(properties, node.args, strict=False):
        arguments[key] = ast.literal_eval(argument)
    for keyword in node.keywords:
        key = str(keyword.arg)
        arguments[key] = ast.literal_eval(keyword.value)
    return name, arguments


@cache
def functions(
    class_names: tuple[str, ...],
) -> Mapping[str, Callable[..., Call]]:
    """By name, functions that return a call as `(name, arguments)`, `finish` last."""
    functions_by_name = {}
    for class_name in class_names:
        for name, document in _documents(class_name).items():
            functions_by_name[name] = _function(document)
    functions_by_name["finish"] = _function(
        {
            "name": "finish",
            "description": "The user's request is done, or cannot be done: "
            "wait for the next message.",
            "parameters": {"type": "dict", "properties": {}, "required": []},
        }
    )
    return functions_by_name


def _function(document: Mapping[str, Any]) -> Callable[..., Call]:
    """A function with the signature and the docstring that the schema is made from."""
    name = document["name"]

    def step(**arguments: Any) -> Call:
        return name, arguments

    step.__name__ = name
    step.__doc__ = _docstring(document)
    properties = document["parameters"]["properties"]
    required = document["parameters"].get("required", ())
    step.__annotations__ = {key: _hint(properties[key]) for key in properties}
    parameters = []
    for key in properties:
        default = Parameter.empty if key in required else None
        parameters.append(Parameter(key, Parameter.KEYWORD_ONLY, default=default))
    step.__signature__ = Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return step


def _hint(schema: Mapping[str, Any]) -> Any:
    """The Python type of a published type; lists name the type of their items."""
    hint = _TYPES[schema["type"]]
    if hint is not list:
        return hint
    item_schema = schema.get("items", schema)
    inner = _TYPES[item_schema["type"]]
    return list[inner]


def _docstring(document: Mapping[str, Any]) -> str:
    # Every description begins with one of its whole class.
    _, _, about = document["description"].rpartition("Tool description: ")
    summary = _one_line(about)
    lines = [summary, "", "Args:"]
    properties = document["parameters"]["properties"]
    for key, schema in properties.items():
        description = _one_line(schema.get("description", ""))
        lines.append(f"    {key}: {description}")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    words = text.split()
    return " ".join(words)
