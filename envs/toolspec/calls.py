"""Tool calls in free text: one parser for every policy and environment."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.thoughts import after_thought

__all__ = ["Call", "Malformed", "json_kind", "parse_call", "render_call", "shorten"]

MAX_CHARS = 1_000_000
MAX_DEPTH = 32
MAX_DIGITS = 18
SHAPE = '{"name": ..., "arguments": {...}}'

_TAG, _END_TAG, _FENCE = "<tool_call>", "</tool_call>", "```"
_FENCED = re.compile(r"```(?:json)?\s*(?=\{)")
_OWN_LINE = re.compile(r"^[ \t]*(?=\{)", re.MULTILINE)
_SURROGATE = re.compile("[\ud800-\udfff]")
JSON_TYPES = {
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
        return Malformed(f"wanted a JSON object {SHAPE}, got {json_kind(value)}")
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
        return Malformed(f"unknown key {shorten(unknown[0])}, wanted {SHAPE}")

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
        return Malformed(f'"arguments" must be an object, got {json_kind(value)}')
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


def json_kind(value: object) -> str:
    """JSON's name for a value's type."""
    if value is None:
        return "null"
    return JSON_TYPES[type(value)]


def shorten(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= 60:
        return text
    return f"{text[:60]}..."


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
