"""The credit of each token of a training step, stored with the step's episodes.

The training loop writes it and reports read it: both sides of the format are here, without torch;
`rows` makes the rows.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.store import read_episodes
from envs.types import Episode
from scgrpo.runs.disk import write_atomically

__all__ = [
    "NO_REFERENCES",
    "CreditRow",
    "credit_path",
    "read_step",
    "saved_steps",
    "write_credit",
]

DIGITS = 4
NO_REFERENCES = "none"
PER_TOKEN = ("divergence", "weight", "entropy")
NOT_FINITE = re.compile("-?(nan|inf)")


@dataclass(frozen=True)
class CreditRow:
    """The credit of one episode.

    | field | meaning |
    |---|---|
    | episode | its place in the step's file of episodes |
    | group | episodes of one number are attempts at one task; None if no credit was saved |
    | reference | place of the episode that its teacher was shown, the first of several |
    | case | what its group's references are, as `Case`; `none` if the rule reads none; |
    | | `void` (ungraded) and `dropped` for an episode that no gradient saw; |
    | | empty if no credit was saved |
    | advantage | its mean over the action tokens if turns differ; None for `void`, `dropped` |
    | divergence, weight | D (nats) and w of each action token in order, empty for those two |
    | entropy | of the unconditioned distribution (nats), likewise; empty without a pass |
    """

    episode: int
    group: int | None
    reference: int | None = None
    case: str = NO_REFERENCES
    advantage: float | None = None
    divergence: Sequence[float] = ()
    weight: Sequence[float] = ()
    entropy: Sequence[float] = ()


def credit_path(run: Path, step: int) -> Path:
    """The file of a step's credit, which has the name of its file of episodes."""
    return run / "credit" / f"step-{step:06d}.jsonl"


def write_credit(path: Path, rows: Iterable[CreditRow]) -> None:
    """Writes a line for each row, by episode, and replaces an earlier file in one step.

    Numbers keep four significant digits; what is not finite becomes null. Raises DiskError.
    """
    by_episode = sorted(rows, key=lambda row: row.episode)
    write_atomically(path, "".join(map(_line, by_episode)))


def _line(row: CreditRow) -> str:
    """The row in JSON. All processes wait for it, and a step may have millions of numbers."""
    parts: list[str] = []
    for name, value in vars(row).items():
        text = _numbers(value) if name in PER_TOKEN else _short_json(value)
        parts.append(f'"{name}":{text}')
    return "{" + ",".join(parts) + "}\n"


def _numbers(values: Sequence[float | None]) -> str:
    """The list in JSON, which has no NaN or infinity; those of a row that was read are None."""
    text = ",".join(
        ["null" if value is None else f"{value:.{DIGITS}g}" for value in values]
    )
    return f"[{NOT_FINITE.sub('null', text) if 'n' in text else text}]"


def _short_json(value: float | str | None) -> str:
    if isinstance(value, float):
        value = float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return json.dumps(value)


def saved_steps(run: Path) -> list[int]:
    """The steps whose episodes are on disk, in order."""
    paths = (run / "episodes").glob("step-*.jsonl")
    return sorted(int(path.stem.removeprefix("step-")) for path in paths)


def read_step(run: Path, step: int) -> list[tuple[Episode, CreditRow]]:
    """The episodes of a step in the order of their file, each with its credit.

    An episode whose credit was not saved has a row without group and weights. Raises ValueError
    for a step that the run does not have, and for credit that belongs to other episodes.
    """
    credit = credit_path(run, step)
    path = run / "episodes" / credit.name
    if not path.is_file():
        steps = saved_steps(run)
        range_ = f"it has {steps[0]} to {steps[-1]}" if steps else "it has none"
        raise ValueError(f"{run} has no episodes of step {step}; {range_}")

    # A step that ended before its update has episodes alone.
    episodes = list(read_episodes(path))
    rows = _read_rows(credit) if credit.is_file() else {}
    for place in sorted(rows):
        if place not in range(len(episodes)):
            raise ValueError(f"{credit}: no episode {place} in {path}")

    pairs: list[tuple[Episode, CreditRow]] = []
    for place, episode in enumerate(episodes):
        try:
            row = _row_of(episode, place, rows.get(place, {}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{credit}: {error}") from error
        pairs.append((episode, row))
    return pairs


def _read_rows(path: Path) -> dict[int, dict[str, Any]]:
    """The lines of a file by episode; a torn last line is left out."""
    rows: dict[int, dict[str, Any]] = {}
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows[row["episode"]] = row
        except (ValueError, KeyError, TypeError) as error:
            # A killed run tears the last line alone; damage before it is an error.
            if number < len(lines):
                raise ValueError(
                    f"{path}, line {number}: not credit: {line[:80]!r}"
                ) from error
    return rows


def _row_of(episode: Episode, place: int, data: Mapping[str, Any]) -> CreditRow:
    """The row of an episode. Raises ValueError if its lengths are not those of the episode."""
    per_token = {name: tuple(data.get(name) or ()) for name in PER_TOKEN}
    expected = sum(len(turn.token_ids) for turn in episode.turns)
    for name, values in per_token.items():
        # Empty: no pass read the episode.
        if len(values) not in (0, expected):
            raise ValueError(
                f"episode {place}: got {len(values)} values of {name}, expected one for each of "
                f"its {expected} action tokens: do the files belong to the same step?"
            )
    return CreditRow(
        place,
        group=data.get("group"),
        reference=data.get("reference"),
        case=data.get("case") or "",
        advantage=data.get("advantage"),
        **per_token,
    )
