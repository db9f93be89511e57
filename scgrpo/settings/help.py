"""What `--help` prints: every field of a settings class with its type, default and meaning."""

from __future__ import annotations

import dataclasses
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union

from scgrpo.settings.keys import leaves

__all__ = ["help_text", "markdown", "type_name"]

WIDTH = 100
MEANING_COLUMN = 56
TABLE_ROW = re.compile(r"^\s*\|\s*([\w, ]*?)\s*\|\s*(.*?)\s*\|\s*$", re.MULTILINE)


class _Entry(NamedTuple):
    """A field of a settings class; `kind` is a dataclass if it is a group of settings."""

    key: str
    kind: Any
    default: Any
    meaning: str

    @property
    def is_group(self) -> bool:
        return dataclasses.is_dataclass(self.kind)


def help_text(cls: type, *, prog: str, examples: Sequence[str] = ()) -> str:
    """The help page of a command whose settings are `cls`."""
    lines = [f"usage: {prog} [config=FILE.yaml] [key=value ...]", ""]
    docstring = (cls.__doc__ or "").strip().splitlines()
    # A dataclass without a docstring gets its signature as one.
    if docstring and not docstring[0].startswith(f"{cls.__name__}("):
        lines += [docstring[0], ""]

    if "config" not in leaves(cls):
        meaning = "a YAML file read first; arguments win over it"
        lines += _help_lines("config", "path = none", meaning)
    lines += _group_lines(cls, "")
    if examples:
        lines += ["", "examples:", *(f"  {example}" for example in examples)]
    return "\n".join(lines)


def markdown(cls: type, where: str = "", defaults: Any = None) -> str:
    """The same as a page of Markdown: a table for the settings of `cls`, one for each group.

    `defaults` is an instance of `cls` with the group's defaults, if they are not the class's own.
    """
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    groups = ""
    for entry in _entries(cls, where, defaults):
        # A bar in a cell would end the cell.
        meaning = entry.meaning.replace("|", "\\|")
        if entry.is_group:
            # Not capitalize(), which lowers the rest.
            first = meaning[:1].upper()
            sentence = f"{first}{meaning[1:]}."
            inner = markdown(entry.kind, f"{entry.key}.", entry.default)
            groups += f"\n## {entry.key}\n\n{sentence}\n\n{inner}"
        else:
            kind = type_name(entry.kind).replace("|", "\\|")
            default = _default_text(entry.default)
            default = default.removeprefix(" = ").strip(" ()")
            rows.append(f"| `{entry.key}` | {kind} | {default} | {meaning} |")
    table = "\n".join(rows)
    return f"{table}\n{groups}"


def type_name(kind: Any) -> str:
    """A type in the words of the help page: `int`, `a|b|c`, `list of str`, `float or none`."""
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin is Literal:
        return "|".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(map(type_name, arguments))
    if origin is tuple:
        return f"list of {type_name(arguments[0])}"
    if origin is Mapping:
        return "key=value pairs"

    # What a user types, rather than what Python calls it.
    names = {
        types.NoneType: "none",
        Path: "path",
        Any: "any",
        bool: "true|false",
    }
    return names.get(kind) or getattr(kind, "__name__", str(kind))


def _entries(cls: type, where: str, defaults: Any) -> Iterator[_Entry]:
    """The fields of `cls` in order, with dotted keys."""
    hints = typing.get_type_hints(cls)
    meanings = _meanings(cls)
    for field in dataclasses.fields(cls):
        yield _Entry(
            key=where + field.name,
            kind=hints[field.name],
            default=_default_value(field, defaults),
            meaning=meanings.get(field.name, ""),
        )


def _group_lines(cls: type, where: str, defaults: Any = None) -> list[str]:
    """The settings of `cls`, and after them its groups."""
    settings: list[str] = []
    groups: list[str] = []
    for entry in _entries(cls, where, defaults):
        if entry.is_group:
            title = f"{entry.key}: {entry.meaning}".rstrip()
            groups += ["", title]
            groups += _group_lines(entry.kind, f"{entry.key}.", entry.default)
        else:
            kind = f"{type_name(entry.kind)}{_default_text(entry.default)}"
            settings += _help_lines(entry.key, kind, entry.meaning)
    return settings + groups


def _help_lines(key: str, kind: str, meaning: str) -> list[str]:
    """One line if it fits, else the meaning on lines of its own."""
    head = f"  {key:<24} {kind}"
    if len(head) < MEANING_COLUMN and len(head) + len(meaning) + 2 < WIDTH:
        return [f"{head:<{MEANING_COLUMN}} {meaning}".rstrip()]
    indent = " " * 6
    wrapped = textwrap.wrap(
        meaning,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
    )
    return [head, *wrapped]


def _default_value(field: dataclasses.Field[Any], defaults: Any) -> Any:
    """A field's value in `defaults`, the default of its group, else its own default."""
    if defaults not in (None, dataclasses.MISSING):
        return getattr(defaults, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _default_text(value: Any) -> str:
    if value is dataclasses.MISSING:
        return " (required)"
    if isinstance(value, list | tuple):
        return f" = {','.join(map(str, value)) or 'empty'}"
    if isinstance(value, bool):
        return f" = {str(value).lower()}"
    if value is None:
        return " = none"
    if isinstance(value, Mapping):
        return ""
    return f" = {value}" if value != "" else " = empty"


def _meanings(cls: type) -> dict[str, str]:
    """Field -> meaning, from the table in the class docstring.

    A row may name several fields; one that names none continues the row above it.
    """
    meanings: dict[str, str] = {}
    names: list[str] = []
    for cell, text in TABLE_ROW.findall(cls.__doc__ or ""):
        if cell:
            names = [name.strip() for name in cell.split(",")]
        for name in names:
            before = "" if cell else f"{meanings[name]} "
            meanings[name] = before + text.replace("`", "")
    return meanings
