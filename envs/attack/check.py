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
from envs.attack.model import Attack
from envs.attack.targets import targets
from envs.checks.env_under_test import EnvUnderTest, NotDefined

__all__ = ["nothing_is_stolen"]

EVERY = 12
"""If quick, one attack in this many is played, at one place."""


def nothing_is_stolen(subject: EnvUnderTest) -> Iterator[str]:
    """No attack of the book is paid, and none spoils or helps what is played after it."""
    # Raises NotDefined before a pool is opened for nothing.
    targets(subject, all_of_them=False)
    backend = _backend(subject.name)
    attacks = _attacks(backend)
    if subject.quick:
        attacks = attacks[::EVERY]

    count = 0
    with Pooled(subject.name, backend, quick=subject.quick) as pooled:
        for place in targets(pooled, all_of_them=not subject.quick):
            for problem in control(pooled, place):
                yield f"{place.name}: {problem.detail}"
            for attack in attacks:
                try:
                    findings = attempt(pooled, place, attack)
                except ValueError:
                    # Too long for this place.
                    continue
                count += 1
                for theft in findings:
                    yield f"{theft.what} by {theft.attack!r} on {place.name}: {theft.detail}"
    subject.notes.append(
        f"{count} attacks on {backend} sandboxes; see `scgrpo envs attack`"
    )


def _backend(name: str) -> str:
    """The first backend that runs here, `OWN` for an environment that takes no pool."""
    if not takes_sandboxes(name):
        return OWN
    able = [kind for kind, reason in sandbox_kinds().items() if not reason]
    if not able:
        raise NotDefined("no sandbox on this machine")
    return able[0]


def _attacks(backend: str) -> list[Attack]:
    """The quick ones of the book; strong ones only in a sandbox."""
    quick = [attack for attack in BOOK if not attack.slow]
    return [attack for attack in quick if backend != OWN or not attack.strong]
