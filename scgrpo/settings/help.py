"""What `--help` prints: every field of a settings class with its type, default and meaning."""

from __future__ import annotations

import dataclasses
import re
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

__all__ = ["help_text", "leaves", "markdown", "type_name"]

WIDTH = 100


def leaves(cls: type, where: str = "") -> dict[str, Any]:
    """Dotted key -> declared type, of every field that holds a value."""
    found: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(kind):
            found |= leaves(kind, f"{where}{name}.")  # pyright: ignore[reportArgumentType]
        else:
            found[where + name] = kind
    return found


def help_text(cls: type, *, prog: str, examples: Sequence[str] = ()) -> str:
    """The help page of a command whose settings are `cls`."""
    first = (cls.__doc__ or "").strip().splitlines()
    lines = [f"usage: {prog} [config=FILE.yaml] [key=value ...]", ""]
    lines += (
        [*first[:1], ""]
        if first and not first[0].startswith(f"{cls.__name__}(")
        else []
    )
    if "config" not in leaves(cls):
        lines += _entry(
            "config", "path = none", "a YAML file read first; arguments win over it"
        )
    lines += _lines(cls, "")
    if examples:
        lines += ["", "examples:", *(f"  {example}" for example in examples)]
    return "\n".join(lines)


def markdown(cls: type, where: str = "", usual: Any = None) -> str:
    """The same as a page of Markdown: a table for the settings of `cls`, one for each group.

    `usual` is what the group's settings are by default, where that is not what `cls` itself says.
    """
    hints, meanings = typing.get_type_hints(cls), _meanings(cls)
    rows, groups = ["| setting | type | default | meaning |", "|---|---|---|---|"], ""
    for field in dataclasses.fields(cls):
        kind, key = hints[field.name], where + field.name
        meaning = meanings.get(field.name, "").replace("|", "\\|")
        if dataclasses.is_dataclass(kind):
            title = f"\n## {key}\n\n{meaning[:1].upper()}{meaning[1:]}.\n\n"
            inner = _usual(field, usual)
            groups += title + markdown(kind, f"{key}.", inner)  # pyright: ignore[reportArgumentType]
        else:
            default = _default(_usual(field, usual)).removeprefix(" = ").strip(" ()")
            cells = [f"`{key}`", type_name(kind).replace("|", "\\|"), default, meaning]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n" + groups


def type_name(kind: Any) -> str:
    """A type in the words of the help page: `int`, `a|b|c`, `list of str`, `float or none`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "|".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(map(type_name, arguments))
    if origin is tuple:
        return f"list of {type_name(arguments[0])}"
    if origin is Mapping:
        return "key=value pairs"
    names = {types.NoneType: "none", Path: "path", Any: "any", bool: "true|false"}
    return names.get(kind) or getattr(kind, "__name__", str(kind))


def _lines(cls: type, where: str, usual: Any = None) -> list[str]:
    hints, meanings = typing.get_type_hints(cls), _meanings(cls)
    plain: list[str] = []
    groups: list[str] = []
    for field in dataclasses.fields(cls):
        kind, key = hints[field.name], where + field.name
        meaning = meanings.get(field.name, "")
        if dataclasses.is_dataclass(kind):
            groups += ["", f"{key}: {meaning}" if meaning else f"{key}:"]
            groups += _lines(kind, f"{key}.", _usual(field, usual))  # pyright: ignore[reportArgumentType]
        else:
            default = _default(_usual(field, usual))
            plain += _entry(key, f"{type_name(kind)}{default}", meaning)
    return plain + groups


def _entry(key: str, kind: str, meaning: str) -> list[str]:
    head = f"  {key:<24} {kind}"
    if len(head) < 56 and len(head) + len(meaning) + 2 < WIDTH:
        return [f"{head:<56} {meaning}".rstrip()]
    return [
        head,
        *textwrap.wrap(
            meaning, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
        ),
    ]


def _usual(field: dataclasses.Field[Any], usual: Any) -> Any:
    """A field's value in the default `usual` of its group, else its own default."""
    if usual not in (None, dataclasses.MISSING):
        return getattr(usual, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return " (required)"
    if isinstance(value, list | tuple):
        return f" = {','.join(map(str, value)) or 'empty'}"
    if isinstance(value, bool):
        return f" = {str(value).lower()}"
    if value is None or isinstance(value, Mapping):
        return " = none" if value is None else ""
    return f" = {value}" if value != "" else " = empty"


def _meanings(cls: type) -> dict[str, str]:
    """Field -> meaning, from the table in the class docstring; a row may name several fields."""
    rows = re.findall(
        r"^\s*\|\s*([\w, ]+?)\s*\|\s*(.*?)\s*\|\s*$", cls.__doc__ or "", re.MULTILINE
    )
    return {
        name.strip(): text.replace("`", "")
        for names, text in rows
        for name in names.split(",")
    }
