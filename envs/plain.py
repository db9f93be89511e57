"""What of an environment's values a file can hold, and which value cannot be stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = [
    "Unstorable",
    "UnstorableTypeError",
    "UnstorableValueError",
    "plain",
    "plain_number",
    "plain_parts",
    "plain_text",
]


class Unstorable(Exception):
    """A value that cannot be stored as JSON; the message names its field."""


class UnstorableValueError(Unstorable, ValueError):
    """A number that JSON does not have: NaN or an infinity, or one out of its range."""


class UnstorableTypeError(Unstorable, TypeError):
    """A value of a type that JSON does not have, such as a set or bytes."""


def plain(value: object, where: str) -> Any:
    """The value as JSON holds it: the same object, if it is plain already.

    Scalars of NumPy and torch become Python's; mappings have text as keys. Raises Unstorable for
    NaN and infinities, sets, bytes and others.
    """
    value = _scalar(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnstorableValueError(f"{where} is {value}, expected a finite number")
        return value
    if isinstance(value, str):
        return plain_text(value, where)
    if isinstance(value, Mapping):
        return _plain_mapping(value, where)
    if isinstance(value, list | tuple):
        items = [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        is_plain = all(new is old for new, old in zip(items, value, strict=True))
        if is_plain:
            return value
        return items if isinstance(value, list) else tuple(items)
    raise UnstorableTypeError(
        f"{where}: {type(value).__name__} is not JSON, got {value!r:.80}; expected text, numbers, "
        "true, false, null, lists or mappings of them"
    )


def plain_number(value: object, where: str) -> float:
    """A finite float; true and false are 1 and 0. Raises Unstorable for anything else."""
    value = plain(value, where)
    if not isinstance(value, bool | int | float):
        raise UnstorableTypeError(f"{where} must be a number, got {value!r:.80}")
    return float(value)


def plain_parts(parts: Mapping[str, float], where: str) -> Mapping[str, float]:
    """Sub-scores as finite floats. Raises Unstorable with the name of another."""
    return {
        plain_text(name, f"a name in {where}"): plain_number(
            value, f"{where}[{name!r}]"
        )
        for name, value in parts.items()
    }


def plain_text(value: object, where: str) -> str:
    """Text, of Python's own type. Raises UnstorableTypeError for anything else."""
    if not isinstance(value, str):
        raise UnstorableTypeError(
            f"{where} must be text, got {type(value).__name__}: {value!r:.80}"
        )
    # A subclass, such as NumPy's text, may print itself otherwise.
    return value if type(value) is str else str.__str__(value)


def _scalar(value: object) -> object:
    """Python's number for a scalar of NumPy or torch; any other value as it is."""
    item: Any = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    return value


def _plain_mapping(value: Mapping[Any, Any], where: str) -> Mapping[str, Any]:
    items: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise UnstorableTypeError(
                f"{where} has the key {key!r:.80}; keys must be text, as JSON's are"
            )
        items[plain_text(key, f"a key of {where}")] = plain(item, f"{where}[{key!r}]")
    return value if all(items[key] is item for key, item in value.items()) else items
