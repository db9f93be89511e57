"""Schemas of tools from signatures and docstrings, and calls with checked arguments."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from envs.toolspec.calls import JSON_TYPES, Malformed, json_kind, parse_call, shorten
from envs.toolspec.docstrings import read_docstring

__all__ = ["call", "schema_of"]

Result = TypeVar("Result")

_BY_NAME = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    """OpenAI function schema from a signature and a docstring; a bound method leaves out `self`.

    The description is the docstring's first paragraph; its sections on parameters, in the style of
    Google, NumPy, reST or Epytext, describe them. Types: str, int, float, bool, Literal, list[T],
    dict, and `T | None`. Null is passed as None where the annotation has None, whatever the default
    is. A whole number is a float too, but 3.0 is no int: a model that writes it is told so. Raises
    ValueError for any other type, and for a description that would be lost.
    """
    # A copy through JSON, so that no caller can change the cached one.
    unbound = getattr(function, "__func__", function)
    return json.loads(_schema_json(unbound))


def call(
    functions: Mapping[str, Callable[..., Result]], text: str
) -> Result | Malformed:
    """What the called function returned, or why the turn calls none of them."""
    parsed = parse_call(text)
    if isinstance(parsed, Malformed):
        return parsed
    function = functions.get(parsed.name)
    if function is None:
        offered = ", ".join(functions) or "none"
        return Malformed(f"there is no tool {shorten(parsed.name)}; tools: {offered}")
    problem = _argument_problem(function, parsed.arguments)
    if problem is not None:
        return Malformed(f"{parsed.name}: {problem}")
    return function(**parsed.arguments)


def _argument_problem(
    function: Callable[..., Any], arguments: Mapping[str, Any]
) -> str | None:
    unbound = getattr(function, "__func__", function)
    properties = json.loads(_checked_properties(unbound))
    for name in arguments:
        if name not in properties:
            names = ", ".join(properties) or "none"
            return f"unknown argument {shorten(name)}; arguments: {names}"
    for name in schema_of(function)["function"]["parameters"]["required"]:
        if name not in arguments:
            return f"argument {name!r} is missing"
    for name, value in arguments.items():
        if problem := _type_problem(value, properties[name]):
            return f"argument {name!r} {problem}"
    return None


def _type_problem(value: object, schema: Mapping[str, Any]) -> str | None:
    if "enum" in schema:
        choices = schema["enum"]
        for choice in choices:
            # Compared with types, because True == 1.
            if value == choice and type(value) is type(choice):
                return None
        texts = [choice for choice in choices if choice is not None]
        return f"must be one of {texts}, got {shorten(value)}"

    kind = json_kind(value)
    expected = schema["type"]
    kinds = [expected] if isinstance(expected, str) else expected
    # A whole number is a number; a number such as 3.0 is no whole one.
    widens = kind == "integer" and "number" in kinds
    if kind not in kinds and not widens:
        return f"must be of type {kinds[0]}, got {shorten(value)} ({kind})"
    if isinstance(value, list) and "items" in schema:
        for item in value:
            if problem := _type_problem(item, schema["items"]):
                return f"has an item that {problem}"
    return None


@lru_cache(maxsize=1024)
def _schema_json(function: Callable[..., Any]) -> str:
    """The schema that models read, as JSON."""
    name = function.__name__
    properties = json.loads(_checked_properties(function))
    try:
        doc = read_docstring(inspect.getdoc(function) or "", properties)
    except ValueError as error:
        raise ValueError(f"tool {name}: in its docstring {error}") from None
    required: list[str] = []
    for key, parameter in inspect.signature(function).parameters.items():
        if key not in properties:
            continue
        # A parameter with a default may be left out.
        if parameter.default is parameter.empty:
            required.append(key)
        elif parameter.default is None:
            # Leaving it out says the same as null, and takes fewer words.
            properties[key] = _without_null(properties[key])
        if key in doc.descriptions:
            properties[key]["description"] = doc.descriptions[key]

    # In this order: the model reads the schema as text.
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required,
    }
    inner = {
        "name": name,
        "description": doc.summary,
        "parameters": parameters,
    }
    return json.dumps({"type": "function", "function": inner})


@lru_cache(maxsize=1024)
def _checked_properties(function: Callable[..., Any]) -> str:
    """The schema of each parameter that arguments are checked with, as JSON."""
    name = function.__name__
    hints = get_type_hints(function)
    properties: dict[str, Any] = {}
    for key, parameter in inspect.signature(function).parameters.items():
        if key == "self":
            continue
        if parameter.kind not in _BY_NAME:
            raise ValueError(
                f"tool {name}: parameter {parameter} cannot be passed by name"
            )
        if key not in hints:
            raise ValueError(f"tool {name}: parameter {key!r} needs a type annotation")
        properties[key] = _type_schema(hints[key], f"{name}.{key}")
    return json.dumps(properties)


def _type_schema(annotation: Any, where: str) -> dict[str, Any]:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        rest = [item for item in inside if item is not type(None)]
        # `T | None` is T or null; another union has no one type.
        if len(rest) == 1:
            return _with_null(_type_schema(rest[0], where))
    if origin is Literal:
        values = [item for item in inside if item is not None]
        kinds = {JSON_TYPES.get(type(item)) for item in values}
        if len(kinds) == 1 and None not in kinds:
            schema: dict[str, Any] = {"type": kinds.pop(), "enum": values}
            return schema if len(values) == len(inside) else _with_null(schema)
    if origin is list and inside:
        return {"type": "array", "items": _type_schema(inside[0], where)}
    kind = JSON_TYPES.get(origin or annotation)
    if kind is None:
        raise ValueError(
            f"tool parameter {where} has type {annotation!r}; "
            "expected str, int, float, bool, Literal, list[T], dict or one of these | None"
        )
    return {"type": kind}


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, for a value that may be null as well."""
    if isinstance(schema["type"], list):
        return schema
    schema["type"] = [schema["type"], "null"]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, for a value that is not null."""
    if isinstance(schema["type"], list):
        schema["type"] = schema["type"][0]
        if "enum" in schema:
            schema["enum"] = [choice for choice in schema["enum"] if choice is not None]
    return schema
