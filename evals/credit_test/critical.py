"""The critical tokens of an episode, by the critical spans of its environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from envs.types import Episode

__all__ = ["CriticalTokens", "critical_tokens"]

# In a span `"candidate": 3` the argument's name is the same in every turn: the value decides.
_NAME = re.compile(r'"\w+":\s*(?=\S)')

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class CriticalTokens:
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
        """(A,) the span's tokens, and those at the same places of turns without a span."""
        places = self.places[self.span]
        same = np.isin(self.places, places)
        return self.span | (same & ~self.turn)


def critical_tokens(
    episode: Episode, spans: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> CriticalTokens:
    """The labels. A span counts wherever it stands as a whole word, not as a part of one."""
    nothing = np.zeros(0, dtype=bool)
    turns, tokens, places = [nothing], [nothing], [np.zeros(0, dtype=np.intp)]
    for turn in episode.turns:
        ids = list(turn.token_ids)
        size = len(ids)
        in_span = np.zeros(size, dtype=bool)
        # Decoding beginnings is quadratic in the turn, so only turns with a span are decoded.
        if any(span in turn.text for span in spans):
            text, ends = _decode(ids, tokenizer)
            starts = np.concatenate([[0], ends[:-1]])
            for low, high in _stretches(text, spans):
                overlaps = (starts < high) & (ends > low)
                in_span |= overlaps

        tokens.append(in_span)
        turns.append(np.full(size, in_span.any()))
        places.append(np.arange(size))
    return CriticalTokens(
        turn=np.concatenate(turns),
        span=np.concatenate(tokens),
        places=np.concatenate(places),
    )


def _stretches(text: str, spans: Sequence[str]) -> list[tuple[int, int]]:
    """Start and end of each stretch of the text that writes a critical part of a span."""
    stretches = []
    for span in spans:
        name = _NAME.match(span)
        skipped = name.end() if name else 0
        before = r"(?<!\w)" if re.match(r"\w", span) else ""
        after = r"(?!\w)" if re.search(r"\w\Z", span) else ""
        for match in re.finditer(before + re.escape(span) + after, text):
            stretches.append((match.start() + skipped, match.end()))
    return stretches


def _decode(
    ids: list[int], tokenizer: PreTrainedTokenizerBase
) -> tuple[str, NDArray[np.intp]]:
    """The text of the tokens, and the end of each token in it.

    Beginnings are decoded, not single tokens: some tokenizers drop a single token's space.
    """
    beginnings = [
        str(tokenizer.decode(ids[: i + 1], clean_up_tokenization_spaces=False))
        for i in range(len(ids))
    ]
    ends = np.maximum.accumulate([len(text) for text in beginnings])
    return beginnings[-1], ends
