"""How a mixture is written: `env=swe_lite+tool_store@weight=2@levels=0,1@turn_tokens=96`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Part", "is_mixture", "parse_mixture", "part_names"]

JOIN, OPTION = "+", "@"
OPTIONS = "weight, levels, turn_tokens and episode_tokens"


@dataclass(frozen=True)
class Part:
    """One environment of a mixture.

    | field | meaning |
    |---|---|
    | name | as `env=` takes it |
    | weight | how often its tasks are drawn, relative to the other parts' |
    | levels | those it is trained on; empty: the run's, and of those that it has |
    | turn_tokens, episode_tokens | its budgets; 0: the run's, which are the most |
    """

    name: str
    weight: float = 1.0
    levels: tuple[int, ...] = ()
    turn_tokens: int = 0
    episode_tokens: int = 0


def is_mixture(name: str) -> bool:
    """Whether a name of `env=` joins several, or gives one options."""
    return JOIN in name or OPTION in name


def part_names(name: str) -> list[str]:
    """The environments that a name of `env=` stands for, each once; one for no mixture."""
    if not is_mixture(name):
        return [name]
    return [part.name for part in parse_mixture(name)]


def parse_mixture(name: str) -> tuple[Part, ...]:
    """The parts of a mixture. Raises ValueError that says what was expected."""
    parts = tuple(_part(text) for text in name.split(JOIN))
    names = [part.name for part in parts]
    repeated = [one for one in names if names.count(one) > 1]
    if repeated:
        raise ValueError(f"env={name} names {repeated[0]} twice; give it a weight")
    return parts


def _part(text: str) -> Part:
    name, *options = text.split(OPTION)
    if not name:
        raise ValueError(
            f"got the part {text!r} of a mixture, expected NAME or NAME@option=value"
        )
    values: dict[str, float | int | tuple[int, ...]] = {}
    for option in options:
        key, _, value = option.partition("=")
        try:
            if key == "weight":
                values[key] = float(value)
            elif key == "levels":
                values[key] = tuple(int(level) for level in value.split(","))
            elif key in ("turn_tokens", "episode_tokens"):
                values[key] = int(value)
            else:
                raise ValueError(f"unknown option {key!r}; expected {OPTIONS}")
        except ValueError as error:
            raise ValueError(f"in the part {text!r} of a mixture: {error}") from None
    part = Part(name, **values)  # pyright: ignore[reportArgumentType]
    _check(part)
    return part


def _check(part: Part) -> None:
    if not 0 < part.weight < float("inf"):
        raise ValueError(f"{part.name}@weight={part.weight}: expected more than 0")
    numbers: Sequence[int] = (part.turn_tokens, part.episode_tokens)
    if min(numbers) < 0:
        raise ValueError(f"{part.name}: got a budget of {min(numbers)} tokens")
