"""Which wrong patches are candidates next to the right one: tests catch all of them.

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
from envs.code.swe_lite.build.decoys import decoys, others, span_of
from envs.code.swe_lite.build.likeness import places
from envs.code.swe_lite.corpus import Source, stable_share
from envs.code.swe_lite.grading import SuiteRun

__all__ = ["CANDIDATES", "MAX_FAILING", "Bugs", "Killed", "Suites", "Trials"]

Bugs: TypeAlias = tuple[Mutation, ...]

CANDIDATES = 4
PAIRS_TRIED = 4
MAX_DECOYS, MAX_ELSEWHERE = 10, 4
MAX_FAILING = 20


class Suites(Protocol):
    """What runs a source's suite: see `envs.code.swe_lite.build.main.Lab`."""

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

    def kill(self, *bugs: Mutation) -> Killed | None:
        """The bugs with what they fail in one run; None if that is too little or too much."""
        text = mutate(self.text, *bugs)
        run = self.lab.run(text)
        outcome = self._catch(run, bugs)
        return self._if_few_fail(outcome)

    def is_steady(self, mutant: Killed) -> bool:
        """Whether the bugs fail the same tests in every interpreter."""
        text = mutate(self.text, *mutant.bugs)
        for run in self.lab.run_again(text):
            outcome = self._catch(run, mutant.bugs)
            again = self._if_few_fail(outcome)
            if again is None:
                return False
            if again.failing != mutant.failing:
                return False
        return True

    def wrong(self, bug: Mutation, killed: Sequence[Killed]) -> list[Bugs]:
        """Three wrong candidates of a line; none if it gives no fair ones."""
        same_span = self._same_span(bug, killed)
        if len(same_span) >= CANDIDATES - 1:
            return same_span[: CANDIDATES - 1]

        # Two spans, each right in two of the four.
        elsewhere: list[Bugs] = []
        for mutant in killed:
            mutation = mutant.bugs[0]
            if _is_elsewhere(mutation, bug):
                elsewhere.append(mutant.bugs)

        pairs = product(same_span, self._shuffle(bug, elsewhere))
        for here, there in islice(pairs, PAIRS_TRIED):
            both = here + there
            if self.kill(*both) is not None:
                return [here, there, both]
        return self._with_decoys(bug, same_span)

    def _with_decoys(self, bug: Mutation, same_span: Sequence[Bugs]) -> list[Bugs]:
        """Three wrong candidates if the split's own operators have too few; none as above.

        Most texts to be had hold the right one whole, and it would look like the best compromise.
        So its place by likeness to the others and to the bug is drawn first, by hash; of the
        triples that tests catch, the one is chosen in which it comes nearest to that.
        """
        pool = self._pool(bug, same_span)
        caught: dict[Bugs, bool] = {}
        for triple in self._triples(bug, pool):
            # Trials run whole suites: one that is known to fail spares the triple's others.
            if any(caught.get(bugs) is False for bugs in triple):
                continue
            for bugs in triple:
                if bugs not in caught:
                    caught[bugs] = self._breaks(*bugs)
            if all(caught[bugs] for bugs in triple):
                return list(triple)
        return []

    def _pool(self, bug: Mutation, same_span: Sequence[Bugs]) -> list[Bugs]:
        """Other texts of the bug's span, and the bug with another place of its line changed."""
        texts = {bugs[0].after for bugs in same_span}
        more: list[Bugs] = []
        for decoy in decoys(self.text, bug):
            if decoy.after not in texts:
                more.append((decoy,))
        # What the split's own operators write comes first, whatever the hash says.
        here = [*same_span, *self._shuffle(bug, more)]

        elsewhere: list[Bugs] = []
        for mutation in others(self.text, bug):
            if _is_elsewhere(mutation, bug):
                elsewhere.append((bug, mutation))

        there = self._shuffle(bug, elsewhere)
        del here[MAX_DECOYS:]
        del there[MAX_ELSEWHERE:]
        return here + there

    def _triples(self, bug: Mutation, pool: Sequence[Bugs]) -> list[tuple[Bugs, ...]]:
        """Triples of the pool, those first in which the right line has the places drawn for it."""
        number = bug.line
        lines = {bugs: self._line(number, *bugs) for bugs in pool}
        right = self._line(number)
        broken = self._line(number, bug)
        drawn_by_others = self._draw_place(bug, "others")
        drawn_by_bug = self._draw_place(bug, "bug")

        def distance(triple: tuple[Bugs, ...]) -> tuple[float, float]:
            """How far the right line is from the places drawn; ties go by hash."""
            wrong = [lines[bugs] for bugs in triple]
            by_others, by_bug = places(right, wrong, broken)
            off_by_others = abs(by_others - drawn_by_others)
            off_by_bug = abs(by_bug - drawn_by_bug)
            off = off_by_others + off_by_bug
            return off, self._share(bug, triple)

        triples = combinations(pool, CANDIDATES - 1)
        return sorted(triples, key=distance)

    def _draw_place(self, bug: Mutation, about: str) -> int:
        """A place among the candidates, uniform by hash."""
        share = self._share(bug, about)
        return int(CANDIDATES * share)

    def _line(self, number: int, *bugs: Mutation) -> str:
        text = mutate(self.text, *bugs)
        lines = text.split("\n")
        return lines[number - 1].strip()

    def wrong_pairs(
        self, first: Mutation, second: Mutation, killed: Sequence[Killed]
    ) -> list[Bugs]:
        """Three wrong candidates of two lines; none if others of the spans are too few."""
        firsts = self._two_of_span(first, killed)
        seconds = self._two_of_span(second, killed)
        # Bugs of one line alone are known to be caught; those of both lines at once are not.
        for in_first, in_second in product(firsts, seconds):
            both = in_first + in_second
            if self._breaks(*both):
                return [in_second, in_first, both]
        return []

    def _two_of_span(self, bug: Mutation, killed: Sequence[Killed]) -> list[Bugs]:
        """At most two wrong texts of the bug's span, a decoy if the operators have none."""
        same_span = self._same_span(bug, killed)
        if same_span:
            return same_span[:2]
        return self._decoy(bug)

    def _decoy(self, bug: Mutation) -> list[Bugs]:
        """One wrong text of the bug's span at most."""
        choices: list[Bugs] = [(decoy,) for decoy in decoys(self.text, bug)]
        for bugs in self._shuffle(bug, choices):
            if self._breaks(*bugs):
                return [bugs]
        return []

    def _breaks(self, *bugs: Mutation) -> bool:
        """Whether a visible and a hidden test fail in every interpreter, however many others do."""
        text = mutate(self.text, *bugs)
        # The other interpreters only if need be: each of them runs the whole suite.
        first_run = self.lab.run(text)
        if self._catch(first_run, bugs) is None:
            return False
        runs = self.lab.run_again(text)
        outcomes = [self._catch(run, bugs) for run in runs]
        return None not in outcomes

    def _catch(self, run: SuiteRun, bugs: Bugs) -> Killed | None:
        """The bugs with what they fail in a run; None if visible or hidden tests miss them."""
        source = self.lab.source
        failing = frozenset(run.failures(source.all_ids))
        if run.timed_out:
            return None
        hidden = failing & source.hidden_ids
        visible = failing - source.hidden_ids
        if not hidden or not visible:
            return None
        return Killed(
            bugs=bugs,
            failing=tuple(sorted(failing)),
            wall_s=run.wall_s,
        )

    def _if_few_fail(self, mutant: Killed | None) -> Killed | None:
        if mutant is None or len(mutant.failing) > MAX_FAILING:
            return None
        return mutant

    def _same_span(self, bug: Mutation, killed: Sequence[Killed]) -> list[Bugs]:
        """The others that change the same characters, so that they are as near to the bug."""
        span = span_of(bug)
        same_span: list[Bugs] = []
        for mutant in killed:
            if mutant.bugs == (bug,):
                continue
            if span_of(mutant.bugs[0]) == span:
                same_span.append(mutant.bugs)
        return self._shuffle(bug, same_span)

    def _shuffle(self, bug: Mutation, choices: Sequence[Bugs]) -> list[Bugs]:
        """In an order by hash, the same in every build."""

        def share(bugs: Bugs) -> float:
            """The choice's place in an order of this bug's own."""
            return self._share(bug, bugs)

        return sorted(choices, key=share)

    def _share(self, bug: Mutation, about: object) -> float:
        name = self.lab.source.name
        return stable_share(f"{name} {(bug,)} {about}")


def _is_elsewhere(mutation: Mutation, bug: Mutation) -> bool:
    """Whether both fit into one line: if one only inserts, spans that touch do not."""
    if mutation.line != bug.line:
        return False
    return mutation.column > bug.end or mutation.end < bug.column
