"""The shop of an episode: the published records, and those that were changed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

from envs.published.tau_retail.data import Table, table

__all__ = ["Shop"]

CENTS = 2

Record = dict[str, Any]


class Shop:
    """Records by id, of which those that are changed are copies."""

    def __init__(self) -> None:
        self._changed: dict[str, dict[str, Record]] = {"orders": {}, "users": {}}

    def find(self, name: Table, key: str) -> Mapping[str, Any] | None:
        """A record to read; None if there is none of that id."""
        return self._changed.get(name, {}).get(key) or table(name).get(key)

    def own(self, name: Literal["orders", "users"], key: str) -> Record:
        """A record to change. Raises KeyError if there is none of that id."""
        changed = self._changed[name]
        if key not in changed:
            changed[key] = copy.deepcopy(dict(table(name)[key]))
        return changed[key]

    def user_ids(self) -> Mapping[str, Mapping[str, Any]]:
        """All users by id, as they are now."""
        return {**table("users"), **self._changed["users"]}

    def changes(self) -> dict[str, Any]:
        """The records that differ from the published ones, numbers rounded to cents.

        Sums of prices depend on their order in the last digits of a float, which nobody means.
        """
        return {
            f"{name} {key}": _round(record)
            for name, records in self._changed.items()
            for key, record in records.items()
            if record != table(name)[key]
        }

    def snapshot(self) -> dict[str, dict[str, Record]]:
        """The changed records, to `restore` them later or elsewhere."""
        return copy.deepcopy(self._changed)

    def restore(self, snapshot: Mapping[str, Mapping[str, Record]]) -> None:
        """Goes back to a snapshot."""
        self._changed = copy.deepcopy({key: dict(snapshot[key]) for key in snapshot})


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, CENTS)
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_round(item) for item in value]
    return value
