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

__all__ = ["fill_candidates", "rows_of", "split_of"]

HELD_OUT = frozenset(
    [
        *("gridpath", "money", "netrc", "optparse", "quopri", "semver", "symtable"),
        *pypi.PACKAGES,
    ]
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
"""Sources full of calls, exceptions and slices: `ood/composition` gets more of their functions."""

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
MAX_CHARS = {1: 300, 2: 460}
"""Longest bug with its candidates, by the number of lines: prompts have to be short."""

SLOW_S = 0.3
TRIED_IF_SLOW = 8


def split_of(source: str, function: str, known: Mapping[str, str]) -> str:
    """The split that breaks a function: the `known` one, by source if held out, or by a hash."""
    if function in known:
        return known[function]
    if source in HELD_OUT:
        return "ood/domain"

    share = stable_share(f"repairs of {source}:{function}")
    sizes = SHARES_OF_RICH if source in RICH else SHARES
    for split, size in sizes.items():
        share -= size
        if share < 0:
            return split
    return "train"


def rows_of(lab: Suites, old: Sequence[Row]) -> list[Row]:
    """New rows of the lab's source; `old` ones count in the limits on a function's rows."""
    source = lab.source
    splits = {row.function: row.split for row in old}
    max_tried = None
    right_run = lab.run(source.text)
    if right_run.wall_s > SLOW_S:
        max_tried = TRIED_IF_SLOW

    every = mutations(source.text)
    # As keys: each function once, in the order of the text.
    names = dict.fromkeys(bug.function for bug in every)
    rows: list[Row] = []
    for function in names:
        split = split_of(source.name, function, splits)
        old_rows = [row for row in old if row.function == function]
        maker = _Maker(lab, split, function, old_rows)
        rows.extend(maker.rows(max_tried))
    return rows


def fill_candidates(lab: Suites, old: Sequence[Row]) -> list[Row]:
    """Those `old` rows of the lab's source that lack candidates and can have them, with them."""
    rows: list[Row] = []
    for row in old:
        if row.candidates:
            continue
        maker = _Maker(lab, row.split, row.function, ())
        filled = maker.with_candidates(row)
        if filled.candidates:
            rows.append(filled)
    return rows


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
        self.old_bugs = {row.bugs for row in old}
        self.per_line = Counter(row.numbers[0] for row in old)
        max_all = PER_FUNCTION.get(split, PER_FUNCTION_OTHERWISE)
        self.max_rows = max(max_all - len(old), 0)

    def rows(self, max_tried: int | None) -> list[Row]:
        """At most `max_rows` rows that passed the gate, of `max_tried` mutations."""
        # A test may name a local variable.
        if self.renamed and self._fails_when_right():
            return []

        bugs = self._shuffle(self._usable())
        killed = self._kill_each(bugs[:max_tried])
        rows = self._singles(killed)
        if self.split == "ood/difficulty":
            rows = self._pairs(killed)
        # Every further row would cost runs of the suite.
        return list(islice(rows, self.max_rows))

    def _fails_when_right(self) -> bool:
        tests = self.lab.source.all_ids
        run = self.lab.run(self.text)
        return len(run.failures(tests)) > 0

    def with_candidates(self, row: Row) -> Row:
        """The row with candidates, if what breaks its lines gives fair ones."""
        numbers = row.numbers
        near = [bug for bug in self._usable() if bug.line in numbers]
        killed = self._kill_each(self._shuffle(near))
        wrong = self._wrong(row.bugs, killed)
        candidates, answer = self._candidates(row.bugs, wrong)
        return replace(
            row,
            candidates=candidates,
            answer=answer,
        )

    def _usable(self) -> list[Mutation]:
        """The function's mutations by operators of the split."""
        held_out = self.split == "ood/composition"
        usable: list[Mutation] = []
        for bug in mutations(self.text):
            if bug.function != self.function:
                continue
            is_held_out = bug.operator in HELD_OUT_OPERATORS
            if is_held_out == held_out:
                usable.append(bug)
        return usable

    def _shuffle(self, bugs: Sequence[Mutation]) -> list[Mutation]:
        """One mutation of each resulting text, in an order by hash, those of one span together."""
        distinct: dict[str, Mutation] = {}
        for bug in bugs:
            text = mutate(self.text, bug)
            distinct.setdefault(text, bug)
        return sorted(distinct.values(), key=self._share_of_span)

    def _share_of_span(self, bug: Mutation) -> tuple[float, str]:
        name = self.lab.source.name
        span = f"{bug.line} {bug.column} {bug.end}"
        share = stable_share(f"{name} {span}")
        return share, str(bug)

    def _kill_each(self, bugs: Sequence[Mutation]) -> list[Killed]:
        """Those of the bugs that tests catch."""
        killed: list[Killed] = []
        for bug in bugs:
            outcome = self.trials.kill(bug)
            if outcome is not None:
                killed.append(outcome)
        return killed

    def _wrong(self, bugs: Bugs, killed: Sequence[Killed]) -> list[Bugs]:
        first, *second = bugs
        if second:
            return self.trials.wrong_pairs(first, second[0], killed)
        return self.trials.wrong(first, killed)

    def _singles(self, killed: Sequence[Killed]) -> Iterator[Row]:
        """Tasks of one line, in an order that has nothing to do with lines or operators."""
        for mutant in sorted(killed, key=self._share_of_mutant):
            line = mutant.bugs[0].line
            if self.per_line[line] >= PER_LINE:
                continue
            if mutant.bugs in self.old_bugs:
                continue
            # Last, because it runs the suite in every other interpreter.
            if not self.trials.is_steady(mutant):
                continue

            self.per_line[line] += 1
            wrong = self._wrong(mutant.bugs, killed)
            yield self._row(mutant, wrong)

    def _pairs(self, killed: Sequence[Killed]) -> Iterator[Row]:
        """Tasks of two lines, both bugs at once."""
        uses: Counter[int] = Counter()
        for first, second in self._pairs_of_lines(killed):
            if uses[first.line] >= PER_LINE or uses[second.line] >= PER_LINE:
                continue
            # Each alone is caught; together they may fail too much, or not end.
            both = self.trials.kill(first, second)
            if both is None or both.bugs in self.old_bugs:
                continue
            if not self.trials.is_steady(both):
                continue

            uses[first.line] += 1
            uses[second.line] += 1
            wrong = self._wrong(both.bugs, killed)
            yield self._row(both, wrong)

    def _pairs_of_lines(
        self, killed: Sequence[Killed]
    ) -> Iterator[tuple[Mutation, Mutation]]:
        """Bugs of two lines, the upper one first, in an order by hash."""
        pairs: list[Bugs] = []
        for first, second in combinations(killed, 2):
            pair = first.bugs + second.bugs
            if pair[0].line != pair[1].line:
                pairs.append(pair)

        # By hash before by line: the hash is of the order in which the two were tried.
        for first, second in sorted(pairs, key=self._share):
            if first.line < second.line:
                yield first, second
            else:
                yield second, first

    def _key(self, bugs: Bugs) -> str:
        return f"{self.lab.source.name} {bugs}"

    def _share(self, bugs: Bugs) -> float:
        return stable_share(self._key(bugs))

    def _share_of_mutant(self, mutant: Killed) -> float:
        return self._share(mutant.bugs)

    def _patch(self, bugs: Bugs, numbers: Sequence[int]) -> tuple[str, ...]:
        """The lines of those numbers in the text with the bugs."""
        text = mutate(self.text, *bugs)
        lines = text.split("\n")
        return tuple(lines[number - 1] for number in numbers)

    def _row(self, mutant: Killed, wrong: Sequence[Bugs]) -> Row:
        """One line of the table, without candidates if they are not fair."""
        name = self.lab.source.name
        numbers = "-".join(str(bug.line) for bug in mutant.bugs)
        digits = int(1e8 * self._share(mutant.bugs))
        candidates, answer = self._candidates(mutant.bugs, wrong)
        return Row(
            id=f"{name}-{numbers}-{digits:08d}",
            split=self.split,
            family=f"{name}:{self.function}",
            source=name,
            bugs=mutant.bugs,
            failing=mutant.failing,
            candidates=candidates,
            answer=answer,
            seconds=math.ceil(100 * mutant.wall_s) / 100,
            renamed=self.renamed,
        )

    def _candidates(
        self, bugs: Bugs, wrong: Sequence[Bugs]
    ) -> tuple[tuple[tuple[str, ...], ...], int]:
        """Patches of the lines and the number of the right one; none and 0 if they are not fair.

        The place of the right candidate is uniform by hash.
        """
        numbers = [bug.line for bug in bugs]
        patches = [self._patch(others, numbers) for others in wrong]
        right = self._patch((), numbers)
        share = stable_share(f"answer of {self._key(bugs)}")
        place = int(CANDIDATES * share)
        patches.insert(place, right)

        # A candidate that reads like another one, or like the bug, would be no choice.
        buggy = self._patch(bugs, numbers)
        visible = [buggy, *patches]
        if len(set(visible)) != CANDIDATES + 1:
            return (), 0
        if _length(visible) > MAX_CHARS[len(numbers)]:
            return (), 0
        return tuple(patches), place + 1


def _length(patches: Sequence[Sequence[str]]) -> int:
    """Characters of all patches as a prompt shows them, without indentation."""
    length = 0
    for lines in patches:
        for line in lines:
            length += len(line.strip())
    return length
