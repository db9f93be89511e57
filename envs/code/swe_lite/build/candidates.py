"""Which wrong patches stand beside the right one: tests catch all of them.

Fair means that the right candidate is not the one that has most in common with the others: either
all candidates differ in one span, or two spans are each right in two of the four, or how much it
has in common is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from typing import Protocol, TypeAlias

from envs.code.bugs.mutate import Mutation, mutate
from envs.code.swe_lite.build.decoys import decoys, others
from envs.code.swe_lite.build.likeness import places
from envs.code.swe_lite.corpus import Source, stable_share
from envs.code.swe_lite.grading import SuiteRun

__all__ = ["CANDIDATES", "MOST_FAILING", "Bugs", "Killed", "Suites", "Trials"]

Bugs: TypeAlias = tuple[Mutation, ...]

CANDIDATES = 4
PAIRS_TRIED = 4
MOST_DECOYS, MOST_APART = 10, 4
MOST_FAILING = 20


class Suites(Protocol):
    """What runs a source's suite: see `build_swe_lite.Lab`."""

    @property
    def source(self) -> Source:
        """The source, with the names of its tests."""
        ...

    def run(self, text: str) -> SuiteRun:
        """The suite against a version of the module."""
        ...

    def run_again(self, text: str) -> list[SuiteRun]:
        """The same in every other interpreter."""
        ...


@dataclass(frozen=True)
class Killed:
    """Mutations that visible and hidden tests catch.

    | field | meaning |
    |---|---|
    | bugs | the mutations, by line |
    | failing | tests that fail |
    | wall_s | seconds of the run |
    """

    bugs: Bugs
    failing: tuple[str, ...]
    wall_s: float


class Trials:
    """Breaks one version of a source and sees what its tests say."""

    def __init__(self, lab: Suites, text: str) -> None:
        self.lab = lab
        self.text = text

    def killed(self, *bugs: Mutation) -> Killed | None:
        """The bugs with what they fail in one run; None where that is too little or too much."""
        return self._few(self._caught(self.lab.run(mutate(self.text, *bugs)), bugs))

    def steady(self, one: Killed) -> bool:
        """Whether the bugs fail the same tests in every interpreter."""
        runs = self.lab.run_again(mutate(self.text, *one.bugs))
        again = (self._few(self._caught(run, one.bugs)) for run in runs)
        return all(
            other is not None and other.failing == one.failing for other in again
        )

    def wrong(self, bug: Mutation, killed: Sequence[Killed]) -> list[Bugs]:
        """Three wrong candidates of a line; none where it gives no fair ones."""
        same = self._same_span(bug, killed)
        if len(same) >= CANDIDATES - 1:
            return same[: CANDIDATES - 1]
        apart = [one.bugs for one in killed if _apart(one.bugs[0], bug)]
        for a, b in islice(product(same, self._shuffled(bug, apart)), PAIRS_TRIED):
            if self.killed(*a, *b) is not None:
                return [a, b, a + b]
        return self._with_decoys(bug, same)

    def _with_decoys(self, bug: Mutation, same: Sequence[Bugs]) -> list[Bugs]:
        """Three wrong candidates where the split's own operators have too few; none as above.

        Most texts to be had hold the right one whole, and it would look like the best compromise.
        So its place by likeness to the others and to the bug is drawn first, by hash; of the
        triples that tests catch, the one is taken in which it comes nearest to that.
        """
        caught: dict[Bugs, bool] = {}
        for triple in self._triples(bug, self._pool(bug, same)):
            if all(caught.get(one, True) for one in triple):
                caught |= {
                    one: self._breaks(*one) for one in triple if one not in caught
                }
                if all(caught[one] for one in triple):
                    return [*triple]
        return []

    def _pool(self, bug: Mutation, same: Sequence[Bugs]) -> list[Bugs]:
        """Other texts of the bug's span, and the bug with another place of its line changed."""
        known = {one.after for (one,) in same}
        more = [(one,) for one in decoys(self.text, bug) if one.after not in known]
        apart = [(bug, one) for one in others(self.text, bug) if _apart(one, bug)]
        here = [*same, *self._shuffled(bug, more)]
        return [*here[:MOST_DECOYS], *self._shuffled(bug, apart)[:MOST_APART]]

    def _triples(self, bug: Mutation, pool: Sequence[Bugs]) -> list[tuple[Bugs, ...]]:
        """Triples of the pool, those first in which the right line has the places drawn for it."""
        lines = {one: self._line(bug.line, *one) for one in pool}
        right, broken = self._line(bug.line), self._line(bug.line, bug)
        drawn = [
            int(CANDIDATES * self._share(bug, about)) for about in ("others", "bug")
        ]

        def off(triple: tuple[Bugs, ...]) -> tuple[float, float]:
            got = places(right, [lines[one] for one in triple], broken)
            return sum(
                abs(a - b) for a, b in zip(got, drawn, strict=True)
            ), self._share(bug, triple)

        return sorted(combinations(pool, CANDIDATES - 1), key=off)

    def _line(self, number: int, *bugs: Mutation) -> str:
        return mutate(self.text, *bugs).split("\n")[number - 1].strip()

    def wrong_pairs(
        self, first: Mutation, second: Mutation, killed: Sequence[Killed]
    ) -> list[Bugs]:
        """Three wrong candidates of two lines; none where others of the spans are too few."""
        firsts, seconds = (
            self._same_span(bug, killed)[:2] or self._decoy(bug)
            for bug in (first, second)
        )
        # One line repaired and the other broken anew are bugs known to be caught; both anew not.
        for a, b in product(firsts, seconds):
            if self._breaks(*a, *b):
                return [b, a, a + b]
        return []

    def _decoy(self, bug: Mutation) -> list[Bugs]:
        """One wrong text of the bug's span at most."""
        found = self._shuffled(bug, [(one,) for one in decoys(self.text, bug)])
        return [*islice((one for one in found if self._breaks(*one)), 1)]

    def _breaks(self, *bugs: Mutation) -> bool:
        """Whether a visible and a hidden test fail in every interpreter, however many others do."""
        text = mutate(self.text, *bugs)
        if self._caught(self.lab.run(text), bugs) is None:
            return False
        return all(
            self._caught(run, bugs) is not None for run in self.lab.run_again(text)
        )

    def _caught(self, run: SuiteRun, bugs: Bugs) -> Killed | None:
        source = self.lab.source
        failing = frozenset(run.failures(source.all_ids))
        both = bool(failing & source.hidden_ids) and bool(failing - source.hidden_ids)
        if run.timed_out or not both:
            return None
        return Killed(bugs, tuple(sorted(failing)), run.wall_s)

    def _few(self, one: Killed | None) -> Killed | None:
        return None if one is None or len(one.failing) > MOST_FAILING else one

    def _same_span(self, bug: Mutation, killed: Sequence[Killed]) -> list[Bugs]:
        """The others that change the same characters, so that they are as near to the bug."""
        span = (bug.line, bug.column, bug.end)
        found = [
            one.bugs
            for one in killed
            if one.bugs != (bug,)
            and (one.bugs[0].line, one.bugs[0].column, one.bugs[0].end) == span
        ]
        return self._shuffled(bug, found)

    def _shuffled(self, bug: Mutation, found: Sequence[Bugs]) -> list[Bugs]:
        return sorted(found, key=lambda other: self._share(bug, other))

    def _share(self, bug: Mutation, about: object) -> float:
        return stable_share(f"{self.lab.source.name} {(bug,)} {about}")


def _apart(one: Mutation, bug: Mutation) -> bool:
    """Whether both fit into one line: where one only inserts, spans that touch do not."""
    return one.line == bug.line and (one.column > bug.end or one.end < bug.column)
