"""Tool calls in free text: one parser, schemas from signatures, and checked dispatch."""

from __future__ import annotations

import inspect
import json
import math
import re
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from envs.thoughts import after_thought

__all__ = ["Call", "Malformed", "call", "parse_call", "render_call", "schema_of"]

Result = TypeVar("Result")

MAX_CHARS = 1_000_000
MAX_DEPTH = 32
MAX_DIGITS = 18
SHAPE = '{"name": ..., "arguments": {...}}'

_TAG, _END_TAG, _FENCE = "<tool_call>", "</tool_call>", "```"
_FENCED = re.compile(r"```(?:json)?\s*(?=\{)")
_OWN_LINE = re.compile(r"^[ \t]*(?=\{)", re.MULTILINE)
_BY_NAME = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
_PARAMETERS_HEADER = re.compile(
    r"^(?:(?:Args|Arguments|Params|Parameters):[ \t]*$|Parameters\n-+$|:param\b)",
    re.MULTILINE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_JSON_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}


@dataclass(frozen=True)
class Call:
    """A tool's name and its arguments, as the policy wrote them."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Malformed:
    """Why a turn holds no valid tool call, in words for the policy."""

    reason: str

    @property
    def sentence(self) -> str:
        """The observation that the policy gets."""
        return f"Malformed tool call: {self.reason}"


def parse_call(text: str) -> Call | Malformed:
    """The one tool call in a turn. No input raises.

    Accepted: a JSON object `{"name": ..., "arguments": {...}}` inside `<tool_call>` tags, in a
    fence, or bare from the start of a line to the end of the text. Prose may stand before it, and
    after a tag or fence. `arguments` may be left out, be called `parameters`, as Llama 3's are, or
    be a JSON text of the object, as OpenAI's are; `"type": "function"` may stand with them. What
    stands in a thought is not read (`envs.thoughts`). Refused: two calls, duplicate keys, NaN,
    infinities, integers over 18 digits, lone surrogates, nesting over 32, a million characters.
    """
    # Before any search, whose time grows with the text.
    if len(text) > MAX_CHARS:
        return Malformed(
            f"the turn has {len(text)} characters, at most {MAX_CHARS} are read"
        )
    text = after_thought(text)
    place = _locate(text)
    if place is None:
        return Malformed(f"no tool call found, write {SHAPE}")
    start, closing = place
    decoded = _decode(text, start)
    if isinstance(decoded, Malformed):
        return decoded
    value, end = decoded

    # Nothing may follow a bare call; after a tag or fence prose is fine, but no second call.
    rest = text[end:].lstrip()
    if closing and rest.startswith(closing):
        rest = rest[len(closing) :]
    elif rest:
        return Malformed("text after the call, end the turn there")
    if _locate(rest) is not None:
        return Malformed("more than one call, write one a turn")
    return _as_call(value)


def render_call(name: str, /, **arguments: Any) -> str:
    """The canonical turn that calls a tool: a bare JSON object; no empty `arguments`."""
    turn: dict[str, Any] = {"name": name}
    if arguments:
        turn["arguments"] = arguments
    return json.dumps(turn, ensure_ascii=False)


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    """OpenAI function schema from a signature and a docstring; a bound method leaves out `self`.

    The description is the docstring's first paragraph; its section on parameters, in the style of
    Google, NumPy or reST, describes them. Types: str, int, float, bool, Literal, list[T], dict, and
    `T | None`, which null is passed to as None. Raises ValueError for any other, and for a
    description that would be lost.
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
        return Malformed(f"there is no tool {_short(parsed.name)}; tools: {offered}")
    problem = _argument_problem(function, parsed.arguments)
    if problem is not None:
        return Malformed(f"{parsed.name}: {problem}")
    return function(**parsed.arguments)


def _locate(text: str) -> tuple[int, str] | None:
    """Start of a call's JSON, and the mark that closes it ("" for the end of the text)."""
    bare = len(text) - len(text.lstrip())
    if text.startswith("{", bare):
        return bare, ""
    tag = text.find(_TAG)
    if tag >= 0:
        inside = text[tag + len(_TAG) :]
        spaces = len(inside) - len(inside.lstrip())
        return tag + len(_TAG) + spaces, _END_TAG
    if fence := _FENCED.search(text):
        return fence.end(), _FENCE
    if line := _OWN_LINE.search(text):
        return line.end(), ""
    return None


def _decode(text: str, start: int) -> tuple[Any, int] | Malformed:
    """The JSON value that begins at `start`, and where it ends."""
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        return Malformed(f"not valid JSON: {error.msg} at character {error.pos}")
    except RecursionError:
        return Malformed(f"nested deeper than {MAX_DEPTH}")
    except ValueError as error:
        return Malformed(str(error))


def _as_call(value: object) -> Call | Malformed:
    if not isinstance(value, dict):
        return Malformed(f"wanted a JSON object {SHAPE}, got {_kind(value)}")
    problem = _value_problem(value)
    if problem:
        return Malformed(problem)
    if value.get("type") == "function":
        value = {key: item for key, item in value.items() if key != "type"}
    key = "arguments"
    if key not in value and "parameters" in value:
        key = "parameters"
    unknown = sorted(set(value) - {"name", key})
    if unknown:
        return Malformed(f"unknown key {_short(unknown[0])}, wanted {SHAPE}")

    name = value.get("name")
    if not isinstance(name, str) or not name:
        return Malformed(f'"name" must be a tool\'s name, wanted {SHAPE}')
    arguments = _as_arguments(value.get(key, {}))
    if isinstance(arguments, Malformed):
        return arguments
    return Call(name, arguments)


def _as_arguments(value: object) -> dict[str, Any] | Malformed:
    """The arguments of a call, which may be written as a JSON text of the object."""
    if isinstance(value, str):
        text = value.strip()
        decoded = _decode(text, 0)
        if isinstance(decoded, Malformed):
            return Malformed(
                f'"arguments" must be an object, got a text: {decoded.reason}'
            )
        value, end = decoded
        if text[end:]:
            return Malformed('"arguments" must be one object, got more text behind it')
        if problem := _value_problem(value):
            return Malformed(problem)
    if not isinstance(value, dict):
        return Malformed(f'"arguments" must be an object, got {_kind(value)}')
    return value


def _value_problem(value: object) -> str | None:
    """What makes a decoded value unfit to be passed on; walks without recursion."""
    waiting = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH}"
        if isinstance(item, str) and _SURROGATE.search(item):
            return "a string holds half of a surrogate pair"
        if isinstance(item, dict):
            waiting.extend((key, depth) for key in item)
            children = list(item.values())
        elif isinstance(item, list):
            children = item
        else:
            continue
        for child in children:
            waiting.append((child, depth + 1))
    return None


def _argument_problem(
    function: Callable[..., Any], arguments: Mapping[str, Any]
) -> str | None:
    unbound = getattr(function, "__func__", function)
    properties = json.loads(_checked_properties(unbound))
    for name in arguments:
        if name not in properties:
            names = ", ".join(properties) or "none"
            return f"unknown argument {_short(name)}; arguments: {names}"
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
        return f"must be one of {choices}, got {_short(value)}"

    kind = _kind(value)
    expected = schema["type"]
    kinds = [expected] if isinstance(expected, str) else expected
    # A whole number is a number; a number such as 3.0 is no whole one.
    widens = kind == "integer" and "number" in kinds
    if kind not in kinds and not widens:
        return f"must be of type {kinds[0]}, got {_short(value)} ({kind})"
    if isinstance(value, list) and "items" in schema:
        for item in value:
            if problem := _type_problem(item, schema["items"]):
                return f"has an item that {problem}"
    return None


def _kind(value: object) -> str:
    """JSON's name for a value's type."""
    if value is None:
        return "null"
    return _JSON_TYPES[type(value)]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= 60:
        return text
    return f"{text[:60]}..."


@lru_cache(maxsize=1024)
def _schema_json(function: Callable[..., Any]) -> str:
    """The schema that models read, as JSON."""
    name = function.__name__
    doc = inspect.getdoc(function) or ""
    summary = " ".join(doc.partition("\n\n")[0].split())
    properties = json.loads(_checked_properties(function))
    descriptions = _descriptions(name, doc, properties)
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
        if key in descriptions:
            properties[key]["description"] = descriptions[key]

    # In this order: the model reads the schema as text.
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required,
    }
    inner = {
        "name": name,
        "description": summary,
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
        kinds = {_JSON_TYPES.get(type(item)) for item in values}
        if len(kinds) == 1 and None not in kinds:
            schema: dict[str, Any] = {"type": kinds.pop(), "enum": values}
            return schema if len(values) == len(inside) else _with_null(schema)
    if origin is list:
        return {"type": "array", "items": _type_schema(inside[0], where)}
    kind = _JSON_TYPES.get(origin or annotation)
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


def _descriptions(tool: str, doc: str, parameters: Collection[str]) -> dict[str, str]:
    """What a docstring says of each parameter, in Google's, NumPy's or reST's style.

    Raises ValueError for a section that cannot be read, and for a name that is no parameter.
    """
    from docstring_parser import parse

    about = parse(doc).params
    header = _PARAMETERS_HEADER.search(doc)
    line = "" if about or header is None else _unreadable_line(doc[header.end() :])
    if line:
        raise ValueError(
            f"tool {tool}: cannot read the line {line!r} of its docstring's section on "
            "parameters; expected `name: text`, and continued lines indented below it"
        )
    descriptions: dict[str, str] = {}
    for entry in about:
        if entry.arg_name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(
                f"tool {tool}: its docstring describes {entry.arg_name!r}, which is no parameter; "
                f"parameters: {known}"
            )
        text = " ".join((entry.description or "").split())
        if text:
            descriptions[entry.arg_name] = text
    return descriptions


def _unreadable_line(section: str) -> str:
    """The first line of a section that is neither `name: text` nor goes on with such a line."""
    lines = [line for line in section.splitlines() if line.strip()]
    if not lines:
        return ""
    indent = len(lines[0]) - len(lines[0].lstrip())
    for line in lines:
        is_entry = len(line) - len(line.lstrip()) <= indent
        if is_entry and ":" not in line:
            return line.strip()
    return lines[0].strip()


def _integer(digits: str) -> int:
    unsigned = digits.lstrip("-")
    if len(unsigned) > MAX_DIGITS:
        raise ValueError(f"an integer has more than {MAX_DIGITS} digits")
    return int(digits)


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {number[:20]} is out of range")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return fields


# strict=False: models write plain newlines inside strings.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_integer,
    parse_float=_finite,
    parse_constant=_refuse,
    strict=False,
)
