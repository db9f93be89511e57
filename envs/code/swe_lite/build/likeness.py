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
        to_all.append(sum(similarity(text, other) for other in texts))
    return _place(to_all), _place(to_bug)


def _place(scores: Sequence[float]) -> float:
    """Of the first score."""
    first, *rest = scores
    higher = sum(score > first + 1e-9 for score in rest)
    equal = sum(abs(score - first) <= 1e-9 for score in rest)
    return higher + equal / 2
