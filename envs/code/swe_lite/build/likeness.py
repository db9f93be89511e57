"""How similar texts are: the candidate most like the others or the bug would be a good guess."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

__all__ = ["places", "similarity"]


@lru_cache(maxsize=100_000)
def similarity(a: str, b: str) -> float:
    """From 0 to 1, in both directions the same."""
    first, second = sorted((a, b))
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def places(right: str, wrong: Sequence[str], bug: str) -> tuple[float, float]:
    """The right text's place among the candidates, by likeness to all of them and to the bug.

    The most similar is in place 0; those that are equally similar share the mean of their places.
    """
    texts = [right, *wrong]
    to_bug = [similarity(text, bug) for text in texts]
    to_all: list[float] = []
    for text in texts:
        likenesses = [similarity(text, other) for other in texts]
        to_all.append(sum(likenesses))
    return _place(to_all), _place(to_bug)


def _place(scores: Sequence[float]) -> float:
    """Of the first score."""
    first = scores[0]
    higher = 0
    equal = 0
    for score in scores[1:]:
        # Sums of the same numbers in another order may differ in the last digits.
        if abs(score - first) <= 1e-9:
            equal += 1
        elif score > first:
            higher += 1
    return higher + equal / 2
