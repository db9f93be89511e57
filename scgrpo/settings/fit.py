"""Plain values to frozen dataclasses: each value is held to the type that its field declares."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from scgrpo.settings.help import type_name
from scgrpo.settings.keys import SettingsError, leaves, unknown_setting

__all__ = ["from_mapping", "type_options"]

T = TypeVar("T")

_MISFIT = object()


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """An instance of the dataclass `cls`; raises SettingsError for what does not fit.

    `where` is the dotted key of `values` within the settings, for messages.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    for key in values:
        if key not in fields:
            keys = [f"{where}{name}" for name in leaves(cls)]
            raise unknown_setting(f"{where}{key}", keys)

    arguments = {}
    for key, value in values.items():
        arguments[key] = _fit(value, hints[key], f"{where}{key}")
    for name, field in fields.items():
        if name not in arguments and _is_required(field):
            raise SettingsError(f"{where}{name} is missing; give {where}{name}=VALUE")

    try:
        return cls(**arguments)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(str(error)) from error


def type_options(kind: Any) -> tuple[Any, ...]:
    """The members of a union; a type that is none is its own only option."""
    is_union = typing.get_origin(kind) in (Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _fit(value: Any, kind: Any, key: str) -> Any:
    """`value` as the declared type; raises SettingsError with got and expected."""
    options = type_options(kind)
    for option in options:
        fitted = _fit_one(value, option, key)
        if fitted is not _MISFIT:
            return fitted

    # A misspelt choice is the likeliest misfit.
    choices: list[str] = []
    for option in options:
        choices += map(str, _choices(option))
    near = difflib.get_close_matches(
        str(value),
        choices,
        n=1,
        cutoff=0.5,
    )
    hint = f"; did you mean {near[0]}?" if near else ""
    raise SettingsError(f"{key}: got {value!r}, expected {type_name(kind)}{hint}")


def _fit_one(value: Any, kind: Any, key: str) -> Any:
    """`value` as one type that is no union; _MISFIT if it does not fit."""
    if kind is Any:
        return value

    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            return _MISFIT
        return from_mapping(kind, value, f"{key}.")  # pyright: ignore[reportArgumentType]
    if origin is Literal:
        # YAML reads the choice "1" as a number.
        by_text = {str(choice): choice for choice in _choices(kind)}
        return by_text.get(str(value), _MISFIT)
    if origin is tuple:
        return _fit_tuple(value, typing.get_args(kind)[0], key)
    if origin is Mapping:
        return dict(value) if isinstance(value, Mapping) else _MISFIT
    return _fit_scalar(value, kind)


def _fit_tuple(value: Any, item: Any, key: str) -> Any:
    # What is a list of texts now may have been one text, empty for none.
    if item is str and isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, list | tuple):
        return _MISFIT
    fitted: list[Any] = []
    for place, element in enumerate(value):
        fitted.append(_fit(element, item, f"{key}[{place}]"))
    return tuple(fitted)


def _fit_scalar(value: Any, kind: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)
    if kind is int and is_number and float(value).is_integer():
        return int(value)
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    # A YAML file may hold a name that reads as a number.
    if kind is str and is_number:
        return str(value)
    if kind in (str, bool, types.NoneType) and isinstance(value, kind):
        return value
    return _MISFIT


def _choices(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
