"""What of an environment's values a file can hold, and which value cannot be stored."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping
from typing import Any

__all__ = [
    "Unstorable",
    "UnstorableTypeError",
    "UnstorableValueError",
    "json_in_utf8",
    "plain",
    "plain_integer",
    "plain_mapping",
    "plain_number",
    "plain_parts",
    "plain_text",
]

MAX_DEPTH = 100
MAX_INTEGER = 2**63 - 1
# Python itself writes no integer of more than 4,300 digits.
MAX_BITS = 14_000


class Unstorable(ValueError):
    """A value that cannot be stored as JSON in UTF-8; the message names its field."""


class UnstorableValueError(Unstorable):
    """A value that JSON does not have, such as NaN, an infinity, or half a surrogate pair."""


class UnstorableTypeError(Unstorable, TypeError):
    """A value of a type that JSON does not have, such as a set or bytes."""


def plain(value: object, where: str) -> Any:
    """The value as JSON holds it: the same object, if it is plain already.

    Scalars of NumPy and torch become Python's; mappings have text as keys. Raises Unstorable for
    NaN and infinities, text that is no UTF-8, sets, bytes and others, and for nesting over 100.
    """
    return _plain(value, where, MAX_DEPTH)


def plain_mapping(value: object, where: str) -> Mapping[str, Any]:
    """A mapping as JSON holds it. Raises Unstorable for anything else."""
    if not isinstance(value, Mapping):
        raise UnstorableTypeError(
            f"{where} must be a mapping, got {type(value).__name__}: {value!r:.80}"
        )
    return plain(value, where)


def plain_number(value: object, where: str) -> float:
    """A finite float; true and false are 1 and 0. Raises Unstorable for anything else."""
    value = _scalar(value, where)
    # Not floats alone: an exact verifier has fractions.
    if not isinstance(value, numbers.Real):
        raise UnstorableTypeError(f"{where} must be a number, got {value!r:.80}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UnstorableValueError(f"{where} is {number}, expected a finite number")
    return number


def plain_integer(value: object, where: str) -> int:
    """A whole number that a column of 64 bits holds. Raises Unstorable for anything else."""
    value = _scalar(value, where)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnstorableTypeError(f"{where} must be a whole number, got {value!r:.80}")
    if abs(value) > MAX_INTEGER:
        raise UnstorableValueError(f"{where} has more than 64 bits")
    return int(value)


def plain_parts(parts: object, where: str) -> Mapping[str, float]:
    """Sub-scores as finite floats. Raises Unstorable with the name of another."""
    if not isinstance(parts, Mapping):
        raise UnstorableTypeError(
            f"{where} must be a mapping of numbers, got {type(parts).__name__}: {parts!r:.80}"
        )
    return {
        plain_text(name, f"a name in {where}"): plain_number(
            value, f"{where}[{name!r}]"
        )
        for name, value in parts.items()
    }


def plain_text(value: object, where: str) -> str:
    """Text of Python's own type, in UTF-8. Raises Unstorable for anything else."""
    if not isinstance(value, str):
        raise UnstorableTypeError(
            f"{where} must be text, got {type(value).__name__}: {value!r:.80}"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnstorableValueError(
            f"{where} is no UTF-8: character {error.start} is half of a surrogate pair, "
            f"{value[error.start]!a}"
        ) from None
    # A subclass, such as NumPy's text, may print itself otherwise.
    return value if type(value) is str else str.__str__(value)


def json_in_utf8(text: str | bytes) -> Any:
    """The value of JSON from others, with a question mark for each half of a surrogate pair.

    JSON in ASCII may hold such halves by escapes. Raises ValueError for text that is no JSON.
    """
    text = json.dumps(json.loads(text), ensure_ascii=False)
    return json.loads(text.encode("utf-8", "replace"))


def _plain(value: object, where: str, depth: int) -> Any:
    value = _scalar(value, where)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise UnstorableValueError(f"{where} has {value.bit_length()} bits")
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else plain_number(value, where)
    if isinstance(value, str):
        return plain_text(value, where)
    if not isinstance(value, Mapping | list | tuple):
        raise UnstorableTypeError(
            f"{where}: {type(value).__name__} is not JSON, got {value!r:.80}; expected text, "
            "numbers, true, false, null, lists or mappings of them"
        )
    # A value that holds itself is nested without end.
    if depth == 0:
        raise UnstorableValueError(f"{where:.80} is nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        return _plain_items(value, where, depth)
    items = [_plain(item, f"{where}[{i}]", depth - 1) for i, item in enumerate(value)]
    if all(new is old for new, old in zip(items, value, strict=True)):
        return value
    return items if isinstance(value, list) else tuple(items)


def _plain_items(value: Mapping[Any, Any], where: str, depth: int) -> Mapping[str, Any]:
    items: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise UnstorableTypeError(
                f"{where} has the key {key!r:.80}; keys must be text, as JSON's are"
            )
        name = plain_text(key, f"a key of {where}")
        items[name] = _plain(item, f"{where}[{key!r}]", depth - 1)
    is_plain = all(items[key] is item for key, item in value.items())
    return value if is_plain and isinstance(value, dict) else items


def _scalar(value: object, where: str) -> object:
    """Python's number for a scalar of NumPy or torch; any other value as it is."""
    item: Any = getattr(value, "item", None)
    if not callable(item) or getattr(value, "ndim", 0) != 0:
        return value
    try:
        scalar = item()
    except (RuntimeError, TypeError, ValueError) as error:
        raise UnstorableTypeError(f"{where} has no value: {error}") from error
    # NumPy's long doubles remain their own type.
    if isinstance(scalar, numbers.Real) and type(scalar) is type(value):
        return float(scalar)
    return scalar
