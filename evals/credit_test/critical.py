"""Which tokens of an episode decided it, by the critical spans of its environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from envs.types import Episode

__all__ = ["Deciding", "deciding"]

# Of a span `"candidate": 3` the argument's name is the same in every turn: the value decides.
_NAME = re.compile(r'"\w+":\s*(?=\S)')

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Deciding:
    """Labels of an episode's action tokens. (A,) each.

    | field | meaning |
    |---|---|
    | turn | every token of the turns that hold a critical span |
    | span | the tokens that write the span; of a named argument its value alone |
    | places | index of the token in its turn |
    """

    turn: Bools
    span: Bools
    places: NDArray[np.intp]

    @property
    def rivals(self) -> Bools:
        """(A,) the span's tokens, and those at the same places of turns that do not decide."""
        same = np.isin(self.places, self.places[self.span])
        return self.span | (same & ~self.turn)


def deciding(
    episode: Episode, spans: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> Deciding:
    """The labels. A span counts wherever it stands as a whole word, not as a part of one."""
    nothing = np.zeros(0, dtype=bool)
    turns, tokens, places = [nothing], [nothing], [np.zeros(0, dtype=np.intp)]
    for turn in episode.turns:
        ids = list(turn.token_ids)
        found = np.zeros(len(ids), dtype=bool)
        if any(span in turn.text for span in spans):
            text, ends = _text(ids, tokenizer)
            starts = np.concatenate([[0], ends[:-1]])
            for low, high in _stretches(text, spans):
                found |= (starts < high) & (ends > low)
        tokens.append(found)
        turns.append(np.full(len(ids), found.any()))
        places.append(np.arange(len(ids)))
    return Deciding(
        np.concatenate(turns), np.concatenate(tokens), np.concatenate(places)
    )


def _stretches(text: str, spans: Sequence[str]) -> list[tuple[int, int]]:
    """Where in the text the deciding parts of the spans stand."""
    found = []
    for span in spans:
        name = _NAME.match(span)
        skipped = name.end() if name else 0
        before = r"(?<!\w)" if re.match(r"\w", span) else ""
        after = r"(?!\w)" if re.search(r"\w\Z", span) else ""
        for match in re.finditer(before + re.escape(span) + after, text):
            found.append((match.start() + skipped, match.end()))
    return found


def _text(
    ids: list[int], tokenizer: PreTrainedTokenizerBase
) -> tuple[str, NDArray[np.intp]]:
    """What the tokens read as, and where in it each one ends.

    Beginnings are decoded, not single tokens: some tokenizers drop a single token's space.
    """
    read = [
        str(tokenizer.decode(ids[: i + 1], clean_up_tokenization_spaces=False))
        for i in range(len(ids))
    ]
    return read[-1], np.maximum.accumulate([len(text) for text in read])
