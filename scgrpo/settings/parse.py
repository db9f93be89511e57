"""Settings: frozen dataclasses read from `key=value` arguments and YAML files.

A class documents its fields once, in a `| field | meaning |` table in its docstring; `--help`
prints that table with types and defaults. A dotted key reaches into a nested dataclass, and a
field of type `Mapping` takes any keys below it. Fields may be bool, int, float, str, Path, a
Literal, a tuple of these, a mapping, a nested dataclass, or one of them or None.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scgrpo.settings.fit import from_mapping, type_options
from scgrpo.settings.help import help_text, type_name
from scgrpo.settings.keys import (
    SettingsError,
    leaves,
    unknown_setting,
    with_new_names,
)

__all__ = ["flat", "given_keys", "load", "parse", "read", "save"]

T = TypeVar("T")

BAD_SETTINGS = 2


def parse(
    cls: type[T], argv: Sequence[str], *, prog: str, examples: Sequence[str] = ()
) -> T:
    """The settings that a command line asks for; the whole interface of a command.

    `config=FILE.yaml` is read first, the other arguments win over it. `--key value`,
    `--key=value` and `--switch` (for a bool) mean the same as `key=value`. `--help` prints every
    field and ends the process with 0; settings that cannot be used end it with 2.
    """
    if "--help" in argv or "-h" in argv:
        page = help_text(cls, prog=prog, examples=examples)
        print(page)
        sys.exit(0)
    try:
        return read(cls, argv)
    except ValueError as error:
        message = f"{prog}: {error}\nSee {prog} --help for every setting."
        print(message, file=sys.stderr)
        sys.exit(BAD_SETTINGS)


def read(cls: type[T], argv: Sequence[str]) -> T:
    """Like `parse`, for callers that handle SettingsError themselves."""
    return from_mapping(cls, _merge(cls, argv))


def given_keys(cls: type, argv: Sequence[str]) -> set[str]:
    """The dotted keys that `argv` and its config file set, whatever their values."""
    values = _merge(cls, argv)
    return {key for key in leaves(cls) if _is_set(values, key)}


def save(settings: Any, path: Path) -> None:
    """Writes every field, defaults included, as YAML that `load` reads back equal."""
    config = OmegaConf.create(_to_yaml_value(settings))
    path.write_text(OmegaConf.to_yaml(config))


def load(cls: type[T], path: Path) -> T:
    """The settings in a YAML file; fields that it leaves out keep their defaults.

    A file of an earlier version may have the old names of `RENAMED`.
    """
    return from_mapping(cls, _to_mapping(_read_file(path, leaves(cls))))


def flat(settings: Any) -> dict[str, Any]:
    """The values by dotted key."""
    return _flatten(dataclasses.asdict(settings), "")


def _flatten(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    by_key: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            by_key |= _flatten(value, f"{prefix}{key}.")
        else:
            by_key[f"{prefix}{key}"] = value
    return by_key


def _is_set(values: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _merge(cls: type, argv: Sequence[str]) -> dict[str, Any]:
    """The nested values of the arguments over those of the config file."""
    fields = leaves(cls)
    merged = OmegaConf.create()
    for key, text in _pairs(argv, fields):
        if key == "config" and "config" not in fields:
            # Whatever came before the file wins over it as well.
            merged = OmegaConf.merge(_read_file(Path(text), fields), merged)
        else:
            kind = _type_of(key, fields)
            OmegaConf.update(merged, key, _value(text, kind, key))
    return _to_mapping(merged)


def _pairs(argv: Sequence[str], fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, text) of each argument, in order."""
    pairs: list[tuple[str, str]] = []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        is_option = argument.startswith("--")
        key, equals, text = argument.removeprefix("--").partition("=")
        if is_option:
            key = key.replace("-", "_")
        if not equals:
            if not is_option:
                raise SettingsError(f"got {argument!r}, expected key=value")
            text = _option_text(argument, key, rest, fields)
        pairs.append((key, text))
    return pairs


def _option_text(
    argument: str, key: str, rest: list[str], fields: Mapping[str, Any]
) -> str:
    """The value of an option without `=`: the next argument, which it takes from `rest`."""
    if _type_of(key, fields) is bool:
        return "true"
    if not rest:
        raise SettingsError(f"got {argument} without a value, expected {key}=VALUE")
    return rest.pop(0)


def _type_of(key: str, fields: Mapping[str, Any]) -> Any:
    """The declared type of a dotted key; Any below a mapping."""
    if key == "config":
        return fields.get(key, Path)
    if key in fields:
        return fields[key]
    for name, kind in fields.items():
        if key.startswith(f"{name}.") and typing.get_origin(kind) is Mapping:
            return Any
    raise unknown_setting(key, list(fields))


def _value(text: str, kind: Any, key: str) -> Any:
    """The argument's text as YAML would read it, but the text itself for a field of text."""
    every_option = type_options(kind)
    options = [option for option in every_option if option is not type(None)]
    is_optional = len(options) < len(every_option)
    if is_optional and text.lower() in ("null", "none", ""):
        return None

    origins = [typing.get_origin(option) for option in options]
    # YAML would turn names such as `on` or `1e3` into other types.
    if str in options or Path in options or Literal in origins:
        return text
    if tuple in origins and not text.startswith("["):
        text = f"[{text}]"
    try:
        config = OmegaConf.from_dotlist([f"value={text}"])
        return config["value"]
    except (YAMLError, OmegaConfBaseException) as error:
        message = f"{key}: got {text!r}, expected {type_name(kind)}"
        raise SettingsError(message) from error


def _read_file(path: Path, keys: Mapping[str, Any]) -> Any:
    """The settings in a YAML file under their names of today, as OmegaConf's own type."""
    try:
        config = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise SettingsError(f"config={path}: there is no such file") from error
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise SettingsError(f"config={path}: {error}") from error
    if not OmegaConf.is_dict(config):
        raise SettingsError(f"config={path}: expected settings as `key: value` lines")

    # Interpolations stay as they are: arguments may set what they refer to.
    values = OmegaConf.to_container(config, resolve=False)
    assert isinstance(values, dict)
    named = {str(key): value for key, value in values.items()}
    return OmegaConf.create(with_new_names(named, keys))


def _to_mapping(config: Any) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise SettingsError(str(error).splitlines()[0]) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _to_yaml_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        value = {field.name: getattr(value, field.name) for field in fields}
    if isinstance(value, Mapping):
        items: dict[str, Any] = {}
        for key, item in value.items():
            items[str(key)] = _to_yaml_value(item)
        return items
    if isinstance(value, list | tuple):
        return [_to_yaml_value(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
