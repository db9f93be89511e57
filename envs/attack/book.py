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

__all__ = ["BOOK", "select_attacks"]

_MODULES = (lease, evidence, values, patched, replaced, forge, machine)

BOOK: tuple[Attack, ...] = tuple(
    attack for module in _MODULES for attack in module.ATTACKS
)


def select_attacks(words: Sequence[str]) -> list[Attack]:
    """The attacks of these kinds or names, or whose name holds one of the words; all for none.

    Raises ValueError for a word that names nothing.
    """
    if not words:
        return list(BOOK)
    attacks: dict[str, Attack] = {}
    for word in words:
        attacks |= {attack.name: attack for attack in _matches(word)}
    return list(attacks.values())


def _matches(word: str) -> list[Attack]:
    exact = [attack for attack in BOOK if word in (attack.name, attack.kind)]
    if exact:
        return exact
    part = [attack for attack in BOOK if word.lower() in attack.name.lower()]
    if part:
        return part

    names = [*KINDS, *(attack.name for attack in BOOK)]
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"kinds are {', '.join(KINDS)}"
    raise ValueError(
        f"got {word!r}, expected a kind or a word of an attack's name; {hint}"
    )
