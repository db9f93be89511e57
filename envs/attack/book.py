"""The book: every attack, by name and kind."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from envs.attack.families import (
    evidence,
    forge,
    lease,
    machine,
    patched,
    replaced,
    values,
)
from envs.attack.model import KINDS, Attack

__all__ = ["BOOK", "chosen"]

_MODULES = (lease, evidence, values, patched, replaced, forge, machine)

BOOK: tuple[Attack, ...] = tuple(one for module in _MODULES for one in module.ATTACKS)


def chosen(words: Sequence[str]) -> list[Attack]:
    """The attacks of these kinds or names, or whose name holds one of the words; all for none.

    Raises ValueError for a word that names nothing.
    """
    picked: dict[str, Attack] = {}
    for word in words:
        named = [one for one in BOOK if word in (one.name, one.kind)]
        named = named or [one for one in BOOK if word.lower() in one.name.lower()]
        if not named:
            near = difflib.get_close_matches(
                word, [*KINDS, *(one.name for one in BOOK)], n=1
            )
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"kinds are {', '.join(KINDS)}"
            )
            raise ValueError(
                f"got {word!r}, wanted a kind or a word of an attack's name; {hint}"
            )
        picked |= {one.name: one for one in named}
    return list(picked.values()) if words else list(BOOK)
