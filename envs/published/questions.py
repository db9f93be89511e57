"""Which questions are the same one, across splits and benchmarks."""

from __future__ import annotations

import hashlib

__all__ = ["question_family"]

FAMILY_DIGITS = 16


def question_family(question: str) -> str:
    """A hash of a question's words, without regard to case and space."""
    words = " ".join(question.casefold().split())
    return hashlib.sha256(words.encode()).hexdigest()[:FAMILY_DIGITS]
