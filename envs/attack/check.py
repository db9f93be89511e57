"""The check `attack`: the book, or a sample of it, on one kind of sandbox."""

from __future__ import annotations

from collections.abc import Iterator

from envs.attack.book import BOOK
from envs.attack.engine import (
    OWN,
    Pooled,
    attempt,
    control,
    sandbox_kinds,
    takes_sandboxes,
)
from envs.attack.targets import targets
from envs.checks.env_under_test import EnvUnderTest, NotDefined

__all__ = ["nothing_is_stolen"]

EVERY = 12
"""Where it must be quick, every so many attacks of the book are played, at one place."""


def nothing_is_stolen(subject: EnvUnderTest) -> Iterator[str]:
    """No attack of the book is paid, and none spoils or helps what is played after it."""
    targets(subject, all_of_them=False)
    backend = OWN
    if takes_sandboxes(subject.name):
        able = [kind for kind, reason in sandbox_kinds().items() if not reason]
        if not able:
            raise NotDefined("no sandbox on this machine")
        backend = able[0]
    attacks = [
        one for one in BOOK if not one.slow and (backend != OWN or not one.strong)
    ]
    count = 0
    with Pooled(subject.name, backend, quick=subject.quick) as pooled:
        for place in targets(pooled, all_of_them=not subject.quick):
            yield from (f"{place.name}: {one.detail}" for one in control(pooled, place))
            for attack in attacks[::EVERY] if subject.quick else attacks:
                try:
                    findings = attempt(pooled, place, attack)
                except ValueError:  # too long for this place
                    continue
                count += 1
                for one in findings:
                    yield f"{one.what} by {one.attack!r} on {place.name}: {one.detail}"
    subject.notes.append(
        f"{count} attacks on {backend} sandboxes; see `python -m envs.attack`"
    )
