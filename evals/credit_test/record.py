"""A training step as it was kept: its episodes, and the credit that each of their tokens got."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from envs.store import read_episodes
from envs.types import Episode

__all__ = ["Credited", "read_step", "run_tokenizer", "steps", "token_texts"]


@dataclass(frozen=True)
class Credited:
    """An episode of a training step and its credit.

    | field | meaning |
    |---|---|
    | place | index in the step's file |
    | group | episodes of one number are attempts at one task; None without a credit file |
    | reference | place of the episode that its teacher was shown, if any |
    | case | how its group was routed; empty without credit |
    | advantage | None without credit |
    | divergence, weight | D (nats) and w of each action token in order; empty without credit |
    | entropy | nats, likewise; empty where the run did not need it, too |
    """

    place: int
    episode: Episode
    group: int | None = None
    reference: int | None = None
    case: str = ""
    advantage: float | None = None
    divergence: tuple[float, ...] = ()
    weight: tuple[float, ...] = ()
    entropy: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        wanted = sum(len(turn.token_ids) for turn in self.episode.turns)
        for name in ("divergence", "weight", "entropy"):
            got = len(getattr(self, name))
            if got not in (0, wanted):
                raise ValueError(
                    f"episode {self.place}: got {got} values of {name}, wanted one for each of "
                    f"its {wanted} action tokens: do the files belong to the same step?"
                )


def steps(run: Path) -> list[int]:
    """The steps whose episodes were kept, in order."""
    return sorted(
        int(path.stem[5:]) for path in (run / "episodes").glob("step-*.jsonl")
    )


def read_step(run: Path, step: int) -> list[Credited]:
    """The episodes of a step in the order of their file, with credit where the run kept it.

    Raises ValueError for a step that the run lacks, and for credit that is of other episodes.
    """
    name = f"step-{step:06d}.jsonl"
    path, credit = run / "episodes" / name, run / "credit" / name
    if not path.is_file():
        kept = steps(run)
        known = f"it has {kept[0]} to {kept[-1]}" if kept else "it has none"
        raise ValueError(f"{run} has no episodes of step {step}; {known}")
    episodes = list(read_episodes(path))
    rows = _rows(credit) if credit.is_file() else {}
    if stray := sorted(set(rows) - set(range(len(episodes)))):
        raise ValueError(f"{credit}: no episode {stray[0]} in {path}")
    try:
        return [
            _credited(i, episode, rows.get(i, {})) for i, episode in enumerate(episodes)
        ]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{credit}: {error}") from error


def run_tokenizer(run: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of the run's newest checkpoint or warm start; None where it has neither."""
    folders = [
        *sorted((run / "checkpoints").glob("step-*"), reverse=True),
        run / "warm_start",
    ]
    for folder in folders:
        if (folder / "tokenizer_config.json").is_file():
            return AutoTokenizer.from_pretrained(folder)
    return None


def token_texts(run: Path) -> Callable[[int], str]:
    """Says what one token id reads as, by the tokenizer of the run; `[id]` where it has none."""
    tokenizer = run_tokenizer(run)
    if tokenizer is None:
        return lambda i: f"[{i}]"
    return lambda i: str(tokenizer.decode([i], clean_up_tokenization_spaces=False))


def _rows(path: Path) -> dict[int, dict]:
    """By episode; a torn last line is left out."""
    rows: dict[int, dict] = {}
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows[row["episode"]] = row
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise ValueError(
                    f"{path}, line {number}: not credit: {line[:80]!r}"
                ) from error
    return rows


def _credited(place: int, episode: Episode, row: dict) -> Credited:
    return Credited(
        place,
        episode,
        group=row.get("group"),
        reference=row.get("reference"),
        case=row.get("case") or "",
        advantage=row.get("advantage"),
        divergence=tuple(row.get("divergence") or ()),
        weight=tuple(row.get("weight") or ()),
        entropy=tuple(row.get("entropy") or ()),
    )
