"""What tokens and hours cost, by a price list of the user's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Price", "PriceList", "load_prices"]

EXPECTED = (
    "expected currency, hour, read, written, and models: NAME: {hour, read, written}"
)


@dataclass(frozen=True)
class Price:
    """Prices in the list's currency.

    | field | meaning |
    |---|---|
    | hour | of the machine, while a run samples and learns |
    | read, written | of a million tokens that a model reads and writes |
    """

    hour: float = 0.0
    read: float = 0.0
    written: float = 0.0


@dataclass(frozen=True)
class PriceList:
    """The price of each model by name, and of all others."""

    currency: str
    usual: Price
    models: Mapping[str, Price] = field(default_factory=dict)

    def of(self, model: str) -> Price:
        """The price of a model, as `model=` names it."""
        return self.models.get(model, self.usual)


def load_prices(path: Path) -> PriceList:
    """The list in a YAML or JSON file. Raises ValueError that says what was expected.

    ```yaml
    currency: EUR
    hour: 1.80
    models:
      Qwen/Qwen3-0.6B: {read: 0.02, written: 0.08}
    ```
    """
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the prices in {path}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no price list; {EXPECTED}")

    rest = dict(values)
    currency, models = rest.pop("currency", ""), rest.pop("models", None) or {}
    if not isinstance(models, dict):
        raise ValueError(f"{path}: got models={models!r:.60}; {EXPECTED}")
    usual = _price(rest, str(path))
    by_name: dict[str, Price] = {}
    for name, about in models.items():
        by_name[str(name)] = _price(about, f"{path}, models: {name}")
    return PriceList(str(currency), usual, by_name)


def _price(values: Any, where: str) -> Price:
    names = {one.name for one in fields(Price)}
    if not isinstance(values, dict) or not values.keys() <= names:
        raise ValueError(f"{where}: got {values!r:.80}; {EXPECTED}")
    numbers: dict[str, float] = {}
    for name, value in values.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value < math.inf:
            raise ValueError(f"{where}: got {name}: {value!r}, expected 0 or more")
        numbers[name] = float(value)
    return Price(**numbers)
