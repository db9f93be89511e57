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

__all__ = ["Call", "functions", "owner", "parsed", "rendered"]

Call = tuple[str, dict[str, Any]]

_TYPES = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "dict": dict,
    "array": list,
}


def rendered(written: str) -> str:
    """The turn that makes a gold call."""
    name, arguments = parsed(written)
    return render_call(name, **arguments)


@cache
def _documents(class_name: str) -> Mapping[str, Mapping[str, Any]]:
    """The published description of each function of a class."""
    return {
        row["name"]: row for row in rows(f"multi_turn_func_doc/{CLASSES[class_name]}")
    }


@cache
def owner(name: str) -> str:
    """The class that a function belongs to; no two share a name."""
    return next(class_name for class_name in CLASSES if name in _documents(class_name))


def parsed(written: str) -> Call:
    """Name and arguments of a gold call, which is Python text without nesting."""
    node = parse(written, "eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    keys = list(_documents(owner(name))[name]["parameters"]["properties"])
    given = dict(zip(keys, map(ast.literal_eval, node.args), strict=False))
    named = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
    return name, given | named


@cache
def functions(
    class_names: tuple[str, ...],
) -> Mapping[str, Callable[..., Call]]:
    """By name, functions that return a call as `(name, arguments)`, `finish` last."""
    found = {
        name: _function(document)
        for c in class_names
        for name, document in _documents(c).items()
    }
    about = "The user's request is done, or cannot be done: wait for the next message."
    nothing = {"type": "dict", "properties": {}, "required": []}
    end = {"name": "finish", "description": about, "parameters": nothing}
    return {**found, "finish": _function(end)}


def _function(document: Mapping[str, Any]) -> Callable[..., Call]:
    """A function with the signature and the docstring that the schema is made from."""
    name, parameters = document["name"], document["parameters"]

    def step(**arguments: Any) -> Call:
        return name, arguments

    about = document["description"].rpartition("Tool description: ")[2]
    lines = [" ".join(about.split()), "", "Args:"]
    hints: dict[str, Any] = {}
    signature = []
    for key, schema in parameters["properties"].items():
        hint = _TYPES[schema["type"]]
        inner = _TYPES[schema.get("items", schema)["type"]]
        hints[key] = list[inner] if hint is list else hint
        needed = key in parameters.get("required", ())
        default = Parameter.empty if needed else None
        signature.append(Parameter(key, Parameter.KEYWORD_ONLY, default=default))
        lines.append(f"    {key}: {' '.join(schema.get('description', '').split())}")
    step.__name__, step.__doc__, step.__annotations__ = name, "\n".join(lines), hints
    step.__signature__ = Signature(signature)  # pyright: ignore[reportFunctionMemberAccess]
    return step
