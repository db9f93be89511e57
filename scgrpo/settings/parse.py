"""Settings: frozen dataclasses read from `key=value` arguments and YAML files.

A class documents its fields once, in a `| field | meaning |` table in its docstring; `--help`
prints that table with types and defaults. A dotted key reaches into a nested dataclass, and a
field of type `Mapping` takes any keys below it. Fields may be bool, int, float, str, Path, a
Literal, a tuple of these, a mapping, a nested dataclass, or one of them or None.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scgrpo.settings.help import help_text, leaves, type_name

__all__ = [
    "SettingsError",
    "flat",
    "from_mapping",
    "given",
    "load",
    "parse",
    "read",
    "save",
]

T = TypeVar("T")


class SettingsError(ValueError):
    """Settings that cannot be used; the message says got, wanted and what to do."""


def parse(
    cls: type[T], argv: Sequence[str], *, prog: str, examples: Sequence[str] = ()
) -> T:
    """The settings that a command line asks for; the whole interface of a command.

    `config=FILE.yaml` is read first, the other arguments win over it. `--key value`,
    `--key=value` and `--switch` (for a bool) mean the same as `key=value`. `--help` prints every
    field and ends the process with 0; settings that cannot be used end it with 2.
    """
    if "--help" in argv or "-h" in argv:
        print(help_text(cls, prog=prog, examples=examples))
        sys.exit(0)
    try:
        return read(cls, argv)
    except ValueError as error:
        _refuse(f"{prog}: {error}\nSee {prog} --help for every setting.")


def read(cls: type[T], argv: Sequence[str]) -> T:
    """Like `parse`, for callers that handle SettingsError themselves."""
    return from_mapping(cls, _merged(cls, argv))


def given(cls: type, argv: Sequence[str]) -> set[str]:
    """The dotted keys that `argv` and its config file set, whatever their values."""
    keys: set[str] = set()
    values = _merged(cls, argv)
    for key in leaves(cls):
        found: Any = values
        for part in key.split("."):
            found = found.get(part, _MISFIT) if isinstance(found, Mapping) else _MISFIT
        if found is not _MISFIT:
            keys.add(key)
    return keys


def save(settings: Any, path: Path) -> None:
    """Writes every field, defaults included, as YAML that `load` reads back equal."""
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(_simple(settings))))


def load(cls: type[T], path: Path) -> T:
    """The settings in a YAML file; fields that it leaves out keep their defaults."""
    return from_mapping(cls, _plain(_file(path)))


def flat(settings: Any) -> dict[str, Any]:
    """The values by dotted key."""
    return _flat(dataclasses.asdict(settings), "")


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """An instance of the dataclass `cls`; raises SettingsError for what does not fit.

    `where` is the dotted key of `values` within the settings, for messages.
    """
    hints = typing.get_type_hints(cls)
    names = {field.name: field for field in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    for key in values:
        if key not in names:
            raise _unknown_key(
                f"{where}{key}", [f"{where}{name}" for name in leaves(cls)]
            )
    given = {
        key: _fit(value, hints[key], f"{where}{key}") for key, value in values.items()
    }
    for name, field in names.items():
        missing = dataclasses.MISSING
        if (
            name not in given
            and field.default is missing
            and field.default_factory is missing
        ):
            raise SettingsError(f"{where}{name} is missing; give {where}{name}=VALUE")
    try:
        return cls(**given)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _merged(cls: type, argv: Sequence[str]) -> dict[str, Any]:
    fields = leaves(cls)
    merged = OmegaConf.create()
    for key, text in _pairs(argv, fields):
        if key == "config" and "config" not in fields:
            merged = OmegaConf.merge(_file(Path(text)), merged)
        else:
            OmegaConf.update(merged, key, _value(text, _type_of(key, fields), key))
    return _plain(merged)


def _pairs(argv: Sequence[str], fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, text) of each argument, in order."""
    pairs: list[tuple[str, str]] = []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        key, equals, text = argument.removeprefix("--").partition("=")
        key = key.replace("-", "_") if argument.startswith("--") else key
        if not equals:
            if not argument.startswith("--"):
                raise SettingsError(f"got {argument!r}, wanted key=value")
            if _type_of(key, fields) is bool:
                text = "true"
            elif rest:
                text = rest.pop(0)
            else:
                raise SettingsError(
                    f"got {argument} without a value, wanted {key}=VALUE"
                )
        pairs.append((key, text))
    return pairs


def _type_of(key: str, fields: Mapping[str, Any]) -> Any:
    """The declared type of a dotted key; Any below a mapping."""
    if key == "config":
        return fields.get(key, Path)
    if key in fields:
        return fields[key]
    for name, kind in fields.items():
        if key.startswith(f"{name}.") and typing.get_origin(kind) is Mapping:
            return Any
    raise _unknown_key(key, list(fields))


def _unknown_key(key: str, known: Sequence[str]) -> SettingsError:
    last = key.rsplit(".", 1)[-1]
    near = [name for name in known if name.rsplit(".", 1)[-1] == last]
    near += difflib.get_close_matches(key, known, n=2, cutoff=0.6)
    by_last = {name.rsplit(".", 1)[-1]: name for name in known}
    near += [
        by_last[name]
        for name in difflib.get_close_matches(last, by_last, n=2, cutoff=0.6)
    ]
    nearest = list(dict.fromkeys(near))[:2]
    hint = (
        f"did you mean {' or '.join(nearest)}?"
        if nearest
        else f"known: {', '.join(known)}"
    )
    return SettingsError(f"unknown setting {key!r}; {hint}")


def _value(text: str, kind: Any, key: str) -> Any:
    """The argument's text as YAML would read it, except where the field wants the text itself."""
    wanted = [option for option in _options(kind) if option is not type(None)]
    if len(wanted) < len(_options(kind)) and text.lower() in ("null", "none", ""):
        return None
    if any(
        option in (str, Path) or typing.get_origin(option) is Literal
        for option in wanted
    ):
        return text
    if any(
        typing.get_origin(option) is tuple for option in wanted
    ) and not text.startswith("["):
        text = f"[{text}]"
    try:
        return OmegaConf.from_dotlist([f"value={text}"])["value"]
    except (YAMLError, OmegaConfBaseException) as error:
        raise SettingsError(f"{key}: got {text!r}, wanted {type_name(kind)}") from error


def _fit(value: Any, kind: Any, key: str) -> Any:
    """`value` as the declared type; raises SettingsError with got and wanted."""
    for option in _options(kind):
        fitted = _fit_one(value, option, key)
        if fitted is not _MISFIT:
            return fitted
    hint = ""
    choices = [choice for option in _options(kind) for choice in _choices(option)]
    near = difflib.get_close_matches(str(value), map(str, choices), n=1, cutoff=0.5)
    if near:
        hint = f"; did you mean {near[0]}?"
    raise SettingsError(f"{key}: got {value!r}, wanted {type_name(kind)}{hint}")


_MISFIT = object()


def _fit_one(value: Any, kind: Any, key: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        fits = isinstance(value, Mapping)
        return from_mapping(kind, value, f"{key}.") if fits else _MISFIT  # pyright: ignore[reportArgumentType]
    if origin is Literal:
        return next(
            (choice for choice in _choices(kind) if str(choice) == str(value)), _MISFIT
        )
    if origin is tuple:
        item = typing.get_args(kind)[0]
        fits = isinstance(value, list | tuple)
        return (
            tuple(_fit(v, item, f"{key}[{i}]") for i, v in enumerate(value))
            if fits
            else _MISFIT
        )
    if origin is Mapping:
        return dict(value) if isinstance(value, Mapping) else _MISFIT
    return _fit_plain(value, kind)


def _fit_plain(value: Any, kind: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind is int and number and float(value).is_integer():
        return int(value)
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    # A YAML file may hold a name that reads as a number.
    if kind is str and number:
        return str(value)
    return (
        value
        if kind in (str, bool, types.NoneType) and isinstance(value, kind)
        else _MISFIT
    )


def _options(kind: Any) -> tuple[Any, ...]:
    union = typing.get_origin(kind) in (Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)


def _choices(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _file(path: Path) -> Any:
    try:
        config = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise SettingsError(f"config={path}: there is no such file") from error
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise SettingsError(f"config={path}: {error}") from error
    if not OmegaConf.is_dict(config):
        raise SettingsError(f"config={path}: wanted settings as `key: value` lines")
    return config


def _plain(config: Any) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise SettingsError(str(error).splitlines()[0]) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _simple(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            f.name: _simple(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): _simple(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_simple(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _refuse(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)
