"""From the bugs of one source that its tests catch to rows of `swe_lite`'s table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice

from envs.code.bugs.mutate import HELD_OUT_OPERATORS, Mutation, mutate, mutations
from envs.code.swe_lite import corpus, pypi
from envs.code.swe_lite.build.candidates import CANDIDATES, Bugs, Killed, Suites, Trials
from envs.code.swe_lite.corpus import stable_share
from envs.code.swe_lite.table import Row

__all__ = ["filled", "rows_of", "split_of"]

HELD_OUT = frozenset(
    {
        "gridpath",
        "money",
        "netrc",
        "optparse",
        "quopri",
        "semver",
        "symtable",
        *pypi.PACKAGES,
    }
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
MOST_CHARS = {1: 300, 2: 460}
"""Longest bug with its candidates, by the number of lines: prompts have to be short."""

SLOW_S = 0.3
TRIED_IF_SLOW = 8


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
        maker = _Maker(
            lab, split, function, [row for row in old if row.function == function]
        )
        made += maker.rows(TRIED_IF_SLOW if slow else None)
    return made


def filled(lab: Suites, old: Sequence[Row]) -> list[Row]:
    """Those `old` rows of the lab's source that lack candidates and can have them, with them."""
    made = [
        _Maker(lab, row.split, row.function, ()).with_candidates(row)
        for row in old
        if not row.candidates
    ]
    return [row for row in made if row.candidates]


class _Maker:
    """Makes the rows of one function."""

    def __init__(
        self, lab: Suites, split: str, function: str, old: Sequence[Row]
    ) -> None:
        self.lab = lab
        self.split = split
        self.function = function
        self.renamed = split == "ood/surface"
        self.text = lab.source.text
        if self.renamed:
            self.text = corpus.with_renamed_locals(lab.source.name).text
        self.trials = Trials(lab, self.text)
        self.taken = {row.bugs for row in old}
        self.per_line = Counter(row.numbers[0] for row in old)
        self.most = PER_FUNCTION.get(split, PER_FUNCTION_OTHERWISE) - len(old)

    def rows(self, most_tried: int | None) -> list[Row]:
        """At most `most` rows that passed the gate."""
        if self.renamed and self.lab.run(self.text).failures(self.lab.source.all_ids):
            return []
        killed = self._tried(self._places_shuffled(self._usable())[:most_tried])
        pairs = self.split == "ood/difficulty"
        made = self._pairs(killed) if pairs else self._singles(killed)
        return list(islice(made, max(self.most, 0)))

    def with_candidates(self, row: Row) -> Row:
        """The row with candidates, where what breaks its lines gives fair ones."""
        near = [one for one in self._usable() if one.line in row.numbers]
        wrong = self._wrong(row.bugs, self._tried(self._places_shuffled(near)))
        made = self._row(Killed(row.bugs, row.failing, row.seconds), wrong)
        return replace(row, candidates=made.candidates, answer=made.answer)

    def _usable(self) -> list[Mutation]:
        """The function's mutations by operators of the split."""
        found = [one for one in mutations(self.text) if one.function == self.function]
        held_out = self.split == "ood/composition"
        return [
            one for one in found if (one.operator in HELD_OUT_OPERATORS) == held_out
        ]

    def _places_shuffled(self, found: Sequence[Mutation]) -> list[Mutation]:
        """One mutation of each resulting text, those of one span together."""
        distinct = {mutate(self.text, one): one for one in reversed(found)}
        where = {one: f"{one.line} {one.column} {one.end}" for one in distinct.values()}
        name = self.lab.source.name
        return sorted(
            distinct.values(),
            key=lambda one: (stable_share(f"{name} {where[one]}"), str(one)),
        )

    def _tried(self, found: Sequence[Mutation]) -> list[Killed]:
        return [one for bug in found if (one := self.trials.killed(bug)) is not None]

    def _wrong(self, bugs: Bugs, killed: Sequence[Killed]) -> list[Bugs]:
        first, *second = bugs
        if second:
            return self.trials.wrong_pairs(first, second[0], killed)
        return self.trials.wrong(first, killed)

    def _singles(self, killed: Sequence[Killed]) -> Iterator[Row]:
        """Tasks of one line, in an order that has nothing to do with lines or operators."""
        for one in sorted(killed, key=lambda one: stable_share(self._key(one.bugs))):
            (bug,) = one.bugs
            full = self.per_line[bug.line] >= PER_LINE
            if full or one.bugs in self.taken or not self.trials.steady(one):
                continue
            self.per_line[bug.line] += 1
            yield self._row(one, self._wrong(one.bugs, killed))

    def _pairs(self, killed: Sequence[Killed]) -> Iterator[Row]:
        """Tasks of two lines, both bugs at once."""
        choices = combinations(killed, 2)
        found = [
            pair for pair in choices if pair[0].bugs[0].line != pair[1].bugs[0].line
        ]
        uses: Counter[int] = Counter()
        for pair in sorted(
            found, key=lambda p: stable_share(self._key(p[0].bugs + p[1].bugs))
        ):
            first, second = sorted(pair, key=lambda one: one.bugs[0].line)
            lines = (first.bugs[0].line, second.bugs[0].line)
            if max(uses[line] for line in lines) >= PER_LINE:
                continue
            both = self.trials.killed(*first.bugs, *second.bugs)
            if both is None or both.bugs in self.taken or not self.trials.steady(both):
                continue
            uses.update(lines)
            yield self._row(both, self._wrong(both.bugs, killed))

    def _key(self, bugs: Bugs) -> str:
        return f"{self.lab.source.name} {bugs}"

    def _patch(
        self, bugs: Sequence[Mutation], numbers: Sequence[int]
    ) -> tuple[str, ...]:
        text = mutate(self.text, *bugs).split("\n")
        return tuple(text[number - 1] for number in numbers)

    def _row(self, one: Killed, wrong: Sequence[Bugs]) -> Row:
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
            id="-".join(
                [name, *map(str, numbers), f"{int(1e8 * stable_share(key)):08d}"]
            ),
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
