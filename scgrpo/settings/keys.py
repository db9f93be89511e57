"""Names of settings: which there are, what an old one is called now, what a wrong one meant."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

__all__ = [
    "RENAMED",
    "SettingsError",
    "leaves",
    "unknown_setting",
    "with_new_names",
]

RENAMED: Mapping[str, str] = {
    "group": "group_size",
    "keep": "keep_checkpoints",
    "pack_tokens": "max_tokens_per_pack",
    "steps": "max_steps",
    "credit.renorm_mean1": "credit.normalize_weights",
    "credit.shared_draw": "credit.shared_reference",
    "engine.base_url": "engine.servers",
    "warm_start.below": "warm_start.success_threshold",
}
"""Old dotted key -> new one. Files may have the old names, the command line may not."""


class SettingsError(ValueError):
    """Settings that cannot be used; the message says got, expected and what to do."""


def leaves(cls: type, where: str = "") -> dict[str, Any]:
    """Dotted key -> declared type, of every field that holds a value."""
    types: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(kind):
            types |= leaves(kind, f"{where}{name}.")  # pyright: ignore[reportArgumentType]
        else:
            types[where + name] = kind
    return types


def unknown_setting(key: str, keys: Sequence[str]) -> SettingsError:
    """The error for a `key` that is not among `keys`: its new name, or the nearest ones."""
    new_name = _new_name(key, keys)
    if new_name:
        return SettingsError(f"{key} is now called {new_name}; use {new_name}=VALUE")

    # The last part counts on its own: who writes `lr` may mean `optimizer.lr`.
    last = _last_part(key)
    by_last_part = {_last_part(name): name for name in keys}
    near = [name for name in keys if _last_part(name) == last]
    near += difflib.get_close_matches(key, keys, n=2, cutoff=0.6)
    near_parts = difflib.get_close_matches(last, by_last_part, n=2, cutoff=0.6)
    near += [by_last_part[part] for part in near_parts]

    if near:
        distinct = list(dict.fromkeys(near))
        hint = " or ".join(distinct[:2])
        return SettingsError(f"unknown setting {key!r}; did you mean {hint}?")
    known = ", ".join(keys)
    return SettingsError(f"unknown setting {key!r}; known: {known}")


def with_new_names(values: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Nested `values` with each old key of `RENAMED` under its new name.

    Only names that `keys`, the dotted ones of a settings class, lacks are old. Raises
    SettingsError for a setting that stands under both names.
    """
    renamed = _copy(values)
    for old in RENAMED:
        new = _new_name(old, keys)
        group, _, name = old.rpartition(".")
        settings = renamed.get(group) if group else renamed
        if new is None or not isinstance(settings, dict) or name not in settings:
            continue

        new_last = _last_part(new)
        if new_last in settings:
            raise SettingsError(f"{old} is now called {new}; got both, keep {new}")
        settings[new_last] = settings.pop(name)
    return renamed


def _new_name(key: str, keys: Collection[str]) -> str | None:
    """What `key` is called now; None if it is no old name of one of `keys`."""
    new = RENAMED.get(key)
    return new if new in keys and key not in keys else None


def _last_part(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy whose nested mappings are copies as well."""
    copy: dict[str, Any] = {}
    for key, value in values.items():
        copy[key] = _copy(value) if isinstance(value, Mapping) else value
    return copy
