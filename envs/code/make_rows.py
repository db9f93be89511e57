"""From the bugs of one source that its tests catch to rows of `swe_lite`'s table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from typing import Protocol

from envs.code import corpus, pypi
from envs.code.corpus import Source, stable_share
from envs.code.mutate import HELD_OUT_OPERATORS, Mutation, mutate, mutations
from envs.code.suite import SuiteRun
from envs.code.table import Row

__all__ = ["Suites", "rows_of", "split_of"]

HELD_OUT = frozenset(
    {"gridpath", "money", "netrc", "optparse", "quopri", "semver", "symtable", *pypi.PACKAGES}
)
"""Sources of `ood/domain`; no other split breaks them."""

SHARES = {
    "train": 0.35,
    "id": 0.1,
    "ood/difficulty": 0.08,
    "ood/composition": 0.27,
    "ood/surface": 0.2,
}
"""How the functions of the other sources are divided."""

RICH = frozenset({"addresses", "headers", "outline", "sequences"})
"""Sources full of calls, exceptions and slices, of which `ood/composition` gets more."""

SHARES_OF_RICH = {
    "train": 0.15,
    "id": 0.05,
    "ood/difficulty": 0.1,
    "ood/composition": 0.45,
    "ood/surface": 0.25,
}

PER_LINE = 10
PER_FUNCTION = {"train": 100, "ood/domain": 16, "ood/difficulty": 24}
PER_FUNCTION_OTHERWISE = 60
PAIRS_TRIED = 4
CANDIDATES = 4
MOST_FAILING = 20
MOST_CHARS = {1: 300, 2: 460}
"""Longest bug with its candidates, by the number of lines: prompts have to be short."""

SLOW_S = 0.3
TRIED_IF_SLOW = 8


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

    bugs: tuple[Mutation, ...]
    failing: tuple[str, ...]
    wall_s: float


def split_of(source: str, function: str, known: Mapping[str, str]) -> str:
    """The split that breaks a function: the `known` one, by source where held out, or by a hash."""
    if function in known:
        return known[function]
    if source in HELD_OUT:
        return "ood/domain"
    share = stable_share(f"repairs of {source}:{function}")
    for split, size in (SHARES_OF_RICH if source in RICH else SHARES).items():
        share -= size
        if share < 0:
            return split
    return "train"


def rows_of(lab: Suites, old: Sequence[Row]) -> list[Row]:
    """New rows of the lab's source; `old` ones count where a function's rows are limited."""
    name = lab.source.name
    known = {row.function: row.split for row in old}
    slow = lab.run(lab.source.text).wall_s > SLOW_S
    made: list[Row] = []
    for function in dict.fromkeys(one.function for one in mutations(lab.source.text)):
        split = split_of(name, function, known)
        maker = _Maker(lab, split, function, [row for row in old if row.function == function])
        made += maker.rows(TRIED_IF_SLOW if slow else None)
    return made


class _Maker:
    """Makes the rows of one function."""

    def __init__(self, lab: Suites, split: str, function: str, old: Sequence[Row]) -> None:
        self.lab = lab
        self.split = split
        self.function = function
        self.renamed = split == "ood/surface"
        self.text = lab.source.text
        if self.renamed:
            self.text = corpus.renamed(lab.source.name).text
        self.taken = {row.bugs for row in old}
        self.per_line = Counter(row.numbers[0] for row in old)
        self.most = PER_FUNCTION.get(split, PER_FUNCTION_OTHERWISE) - len(old)

    def rows(self, most_tried: int | None) -> list[Row]:
        """At most `most` rows that passed the gate."""
        if self.renamed and self.lab.run(self.text).failed(self.lab.source.all_ids):
            return []
        found = [one for one in mutations(self.text) if one.function == self.function]
        held_out = self.split == "ood/composition"
        usable = [one for one in found if (one.operator in HELD_OUT_OPERATORS) == held_out]
        tried = self._places_shuffled(usable)[:most_tried]
        killed = [one for bug in tried if (one := self._killed(bug)) is not None]
        pairs = self.split == "ood/difficulty"
        made = self._pairs(killed) if pairs else self._singles(killed)
        return list(islice(made, max(self.most, 0)))

    def _places_shuffled(self, found: Sequence[Mutation]) -> list[Mutation]:
        """One mutation of each resulting text, those of one span together."""
        distinct = {mutate(self.text, one): one for one in reversed(found)}
        where = {one: f"{one.line} {one.column} {one.end}" for one in distinct.values()}
        name = self.lab.source.name
        return sorted(
            distinct.values(), key=lambda one: (stable_share(f"{name} {where[one]}"), str(one))
        )

    def _killed(self, *bugs: Mutation) -> Killed | None:
        """The bugs with what they fail in one run; None where that is too little or too much."""
        return self._caught(self.lab.run(mutate(self.text, *bugs)), bugs)

    def _caught(self, run: SuiteRun, bugs: tuple[Mutation, ...]) -> Killed | None:
        source = self.lab.source
        failing = frozenset(run.failed(source.all_ids))
        both = bool(failing & source.hidden_ids) and bool(failing - source.hidden_ids)
        if run.timed_out or not both or len(failing) > MOST_FAILING:
            return None
        return Killed(bugs, tuple(sorted(failing)), run.wall_s)

    def _steady(self, one: Killed) -> bool:
        """Whether the bugs fail the same tests in every interpreter."""
        runs = self.lab.run_again(mutate(self.text, *one.bugs))
        again = (self._caught(run, one.bugs) for run in runs)
        return all(other is not None and other.failing == one.failing for other in again)

    def _singles(self, killed: Sequence[Killed]) -> Iterator[Row]:
        """Tasks of one line, in an order that has nothing to do with lines or operators."""
        for one in sorted(killed, key=lambda one: stable_share(self._key(one.bugs))):
            (bug,) = one.bugs
            full = self.per_line[bug.line] >= PER_LINE
            if full or one.bugs in self.taken or not self._steady(one):
                continue
            self.per_line[bug.line] += 1
            yield self._row(one, self._wrong(one, killed))

    def _pairs(self, killed: Sequence[Killed]) -> Iterator[Row]:
        """Tasks of two lines, both bugs at once."""
        choices = combinations(killed, 2)
        found = [pair for pair in choices if pair[0].bugs[0].line != pair[1].bugs[0].line]
        uses: Counter[int] = Counter()
        for pair in sorted(found, key=lambda p: stable_share(self._key(p[0].bugs + p[1].bugs))):
            first, second = sorted(pair, key=lambda one: one.bugs[0].line)
            lines = (first.bugs[0].line, second.bugs[0].line)
            if max(uses[line] for line in lines) >= PER_LINE:
                continue
            both = self._killed(*first.bugs, *second.bugs)
            if both is None or both.bugs in self.taken or not self._steady(both):
                continue
            uses.update(lines)
            yield self._row(both, self._wrong_pairs(first, second, killed))

    def _wrong(self, one: Killed, killed: Sequence[Killed]) -> list[tuple[Mutation, ...]]:
        """Three wrong candidates; none where the line gives no fair ones.

        Fair means that the right candidate is not the one that has most in common with the others:
        either all candidates differ in one span, or two spans are each right in two of the four.
        """
        (bug,) = one.bugs
        same = self._same_span(one, killed)
        if len(same) >= CANDIDATES - 1:
            return [other.bugs for other in same[: CANDIDATES - 1]]
        apart = [
            other
            for other in killed
            if other.bugs[0].line == bug.line
            and (other.bugs[0].column >= bug.end or other.bugs[0].end <= bug.column)
        ]
        for a, b in islice(product(same, self._shuffled(one, apart)), PAIRS_TRIED):
            if self._killed(*a.bugs, *b.bugs) is not None:
                return [a.bugs, b.bugs, a.bugs + b.bugs]
        return []

    def _wrong_pairs(
        self, first: Killed, second: Killed, killed: Sequence[Killed]
    ) -> list[tuple[Mutation, ...]]:
        """Three wrong candidates of two lines; none where other bugs of the spans are too few."""
        firsts = self._same_span(first, killed)[:2]
        seconds = self._same_span(second, killed)[:2]
        # One line repaired and the other broken anew are bugs known to be caught; both anew not.
        for a, b in product(firsts, seconds):
            if self._killed(*a.bugs, *b.bugs) is not None:
                return [seconds[0].bugs, firsts[0].bugs, a.bugs + b.bugs]
        return []

    def _same_span(self, one: Killed, killed: Sequence[Killed]) -> list[Killed]:
        """The others that change the same characters, so that they are as near to the bug."""
        (bug,) = one.bugs
        span = (bug.line, bug.column, bug.end)
        others = [
            other
            for other in killed
            if other is not one
            and (other.bugs[0].line, other.bugs[0].column, other.bugs[0].end) == span
        ]
        return self._shuffled(one, others)

    def _shuffled(self, one: Killed, others: Sequence[Killed]) -> list[Killed]:
        key = self._key(one.bugs)
        return sorted(others, key=lambda other: stable_share(f"{key} {other.bugs}"))

    def _key(self, bugs: tuple[Mutation, ...]) -> str:
        return f"{self.lab.source.name} {bugs}"

    def _patch(self, bugs: Sequence[Mutation], numbers: Sequence[int]) -> tuple[str, ...]:
        text = mutate(self.text, *bugs).split("\n")
        return tuple(text[number - 1] for number in numbers)

    def _row(self, one: Killed, wrong: list[tuple[Mutation, ...]]) -> Row:
        """One line of the table. The place of the right candidate is uniform by hash."""
        name = self.lab.source.name
        numbers = [bug.line for bug in one.bugs]
        key = self._key(one.bugs)
        place = int(CANDIDATES * stable_share(f"answer of {key}"))
        patches = [self._patch(bugs, numbers) for bugs in wrong]
        right = self._patch((), numbers)
        candidates = (*patches[:place], right, *patches[place:])
        shown = (self._patch(one.bugs, numbers), *candidates)
        length = sum(len(line.strip()) for lines in shown for line in lines)
        fair = len(set(shown)) == CANDIDATES + 1 and length <= MOST_CHARS[len(numbers)]
        return Row(
            id="-".join([name, *map(str, numbers), f"{int(1e8 * stable_share(key)):08d}"]),
            split=self.split,
            family=f"{name}:{self.function}",
            source=name,
            bugs=one.bugs,
            failing=one.failing,
            candidates=candidates if fair else (),
            answer=place + 1 if fair else 0,
            seconds=math.ceil(100 * one.wall_s) / 100,
            renamed=self.renamed,
        )
