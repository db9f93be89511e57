"""How alike texts are: a candidate that is the most like the others or the bug would be a guess."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

__all__ = ["alike", "places"]


@lru_cache(maxsize=100_000)
def alike(a: str, b: str) -> float:
    """From 0 to 1, in both directions the same."""
    return SequenceMatcher(None, *sorted((a, b)), autojunk=False).ratio()


def places(right: str, wrong: Sequence[str], bug: str) -> tuple[float, float]:
    """The right text's place among the candidates, by likeness to all of them and to the bug.

    The most alike is in place 0; those that are as alike share the mean of their places.
    """
    texts = [right, *wrong]
    to_all = [sum(alike(a, b) for b in texts) for a in texts]
    to_bug = [alike(a, bug) for a in texts]
    return _place(to_all), _place(to_bug)


def _place(scores: Sequence[float]) -> float:
    """Of the first score."""
    first, *rest = scores
    more = sum(score > first + 1e-9 for score in rest)
    same = sum(abs(score - first) <= 1e-9 for score in rest)
    return more + same / 2
