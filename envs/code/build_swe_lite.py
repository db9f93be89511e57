"""Makes `swe_lite`'s task table: breaks every source in every way and keeps what its tests catch.

    python -m envs.code.build_swe_lite

writes `envs/data/swe_lite/sources.json` and `tasks.jsonl`; the same corpus gives the same files,
on a machine that is not so busy that a test run of 0.05 s takes `DEADLINE_S`.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from typing import Any

from envs.code import corpus
from envs.code.corpus import Source, stable_share
from envs.code.mutate import Mutation, mutate, mutations
from envs.code.suite import SuiteRun, run_suite
from envs.code.table import Row
from sandboxes import SandboxConfig, SandboxPool, open_pool

__all__ = ["build", "main", "split_of"]

HELD_OUT = frozenset({"gridpath", "money", "netrc", "optparse", "semver"})
"""Sources of `ood/domain`; no other split breaks them."""

SHARES = {"train": 0.62, "id": 0.2, "ood/difficulty": 0.18}
"""How the functions of the other sources are divided."""

OPERATORS = frozenset(
    {"comparison", "arithmetic", "boolean", "constant", "negation", "off_by_one", "return"}
)
"""Operators whose changes of one place are many enough for four candidates."""

PER_LINE = {"train": 4, "id": 4, "ood/domain": 2}
PER_PAIR = 2
PAIRS_TRIED = 4
PER_FUNCTION = 20
CANDIDATES = 4
MOST_FAILING = 20
MOST_CHARS = {1: 300, 2: 460}
"""Longest bug with its candidates, by the number of lines: prompts have to be short."""

REPEATS = 3
DEADLINE_S = 2.0
"""Far above the 0.05 s of a suite, so that only a bug that loops reaches it."""

WORKERS = 2


@dataclass(frozen=True)
class Killed:
    """Mutations that visible and hidden tests catch, the same way every time.

    | field | meaning |
    |---|---|
    | bugs | the mutations, by line |
    | failing | tests that fail |
    | wall_s | seconds of the slowest run |
    """

    bugs: tuple[Mutation, ...]
    failing: tuple[str, ...]
    wall_s: float


def build(pool: SandboxPool) -> tuple[dict[str, Any], list[Row]]:
    """The tests of every source by name, and the rows of the task table."""
    tests: dict[str, Any] = {}
    rows: list[Row] = []
    with ThreadPoolExecutor(WORKERS) as threads:
        for source, made in threads.map(lambda name: _build_one(pool, name), corpus.names()):
            hidden = sorted(source.hidden_ids)
            tests[source.name] = {"all": list(source.all_ids), "hidden": hidden}
            rows += made
    return tests, rows


def _build_one(pool: SandboxPool, name: str) -> tuple[Source, list[Row]]:
    source = baseline(pool, corpus.source(name))
    made = list(_rows(pool, source))
    print(f"{name}: {len(source.all_ids)} tests, {len(made)} tasks", flush=True)
    return source, made


def baseline(pool: SandboxPool, source: Source) -> Source:
    """The source with the names of its tests. Raises ValueError where one does not pass."""
    runs = [_run(pool, source, source.text) for _ in range(REPEATS)]
    files = {source.file: source.text, source.test_file: source.visible}
    visible = run_suite(pool, files, f"test_{source.name}")
    names = sorted(runs[0].reasons)
    if not names or any(run.timed_out or run.failed(names) for run in runs):
        raise ValueError(f"{source.name} must pass all its tests, got {runs}")
    if visible.failed(visible.reasons) or not set(visible.reasons) < set(names):
        raise ValueError(f"{source.name}: the visible tests must pass alone, got {visible}")
    return replace(
        source, all_ids=tuple(names), hidden_ids=frozenset(names) - frozenset(visible.reasons)
    )


def split_of(name: str, function: str) -> str:
    """The split that breaks a function: by source where held out, else by a stable hash."""
    if name in HELD_OUT:
        return "ood/domain"
    share = stable_share(f"split of {name}:{function}")
    for split, size in SHARES.items():
        share -= size
        if share < 0:
            return split
    raise ValueError(f"SHARES must add up to 1, got {sum(SHARES.values())}")


def _run(pool: SandboxPool, source: Source, text: str) -> SuiteRun:
    files = {source.file: text, source.test_file: source.tests}
    return run_suite(pool, files, f"test_{source.name}", timeout_s=DEADLINE_S)


def _killed(pool: SandboxPool, source: Source, *bugs: Mutation) -> Killed | None:
    """The bugs with what they fail; None where they break too little, too much or by chance."""
    text = mutate(source.text, *bugs)
    first: frozenset[str] | None = None
    wall_s = 0.0
    for _ in range(REPEATS):
        run = _run(pool, source, text)
        failing = frozenset(run.failed(source.all_ids))
        caught = bool(failing & source.hidden_ids) and bool(failing - source.hidden_ids)
        if run.timed_out or not caught or len(failing) > MOST_FAILING:
            return None
        if first is not None and failing != first:
            return None
        first, wall_s = failing, max(wall_s, run.wall_s)
    return Killed(bugs, tuple(sorted(first or ())), wall_s)


def _rows(pool: SandboxPool, source: Source) -> Iterator[Row]:
    """The rows of one source: single bugs, and pairs in the functions of `ood/difficulty`."""
    functions: dict[str, dict[int, list[Killed]]] = defaultdict(lambda: defaultdict(list))
    for one in mutations(source.text):
        if one.operator in OPERATORS and (killed := _killed(pool, source, one)) is not None:
            functions[one.function][one.line].append(killed)
    for function, lines in functions.items():
        split = split_of(source.name, function)
        if split == "ood/difficulty":
            made = list(islice(_pairs(pool, source, lines), 2 * PER_FUNCTION))
        else:
            made = [row for found in lines.values() for row in _singles(pool, source, found, split)]
        short = [row for row in made if _length(row) <= MOST_CHARS[len(row.bugs)]]
        yield from sorted(short, key=lambda row: stable_share(row.id))[:PER_FUNCTION]


def _singles(
    pool: SandboxPool, source: Source, found: Sequence[Killed], split: str
) -> Iterator[Row]:
    """Tasks of one line."""
    made = (_single(pool, source, bug, found, split) for bug in _shuffled(source, found))
    yield from islice((row for row in made if row is not None), PER_LINE[split])


def _single(
    pool: SandboxPool, source: Source, bug: Killed, found: Sequence[Killed], split: str
) -> Row | None:
    """One task of one bug; None where the line gives no fair wrong candidates.

    Fair means that the right candidate is not the one that has most in common with the others:
    either all candidates differ in one span, or two spans are each right in two of the four.
    """
    (one,) = bug.bugs
    others = [k for k in _shuffled(source, found, salt=str(one)) if k is not bug]
    same = _same_span(others, bug)
    wrong = [k.bugs for k in same[: CANDIDATES - 1]]
    if len(wrong) < CANDIDATES - 1:
        apart = [k for k in others if k.bugs[0].column >= one.end or k.bugs[0].end <= one.column]
        pairs = ((a.bugs, b.bugs) for a, b in product(same, apart) if b not in same)
        wrong = next(
            (
                [a, b, a + b]
                for a, b in islice(pairs, PAIRS_TRIED)
                if _killed(pool, source, *a, *b) is not None
            ),
            [],
        )
    if not wrong:
        return None
    return _row(source, split, bug, [_patch(source, bugs, [one.line]) for bugs in wrong])


def _same_span(found: Sequence[Killed], bug: Killed) -> list[Killed]:
    """The others that change the same characters, so that they are as near to the bug as right."""
    (one,) = bug.bugs
    return [
        k
        for k in found
        if k is not bug and (k.bugs[0].column, k.bugs[0].end) == (one.column, one.end)
    ]


def _pairs(
    pool: SandboxPool, source: Source, lines: Mapping[int, Sequence[Killed]]
) -> Iterator[Row]:
    """Tasks of two lines of one function: both bugs at once, candidates patch both lines."""
    choices = list(combinations(sorted(lines), 2))
    for numbers in sorted(choices, key=lambda pair: stable_share(f"{source.name}{pair}")):
        firsts, seconds = (_shuffled(source, lines[number]) for number in numbers)
        bugs = islice(zip(firsts, seconds, strict=False), PAIRS_TRIED)
        made = (_pair(pool, source, *pair, firsts, seconds) for pair in bugs)
        yield from islice((row for row in made if row is not None), PER_PAIR)


def _pair(
    pool: SandboxPool,
    source: Source,
    first: Killed,
    second: Killed,
    firsts: Sequence[Killed],
    seconds: Sequence[Killed],
) -> Row | None:
    """One task of two bugs; None where the lines' other bugs give too few wrong candidates."""
    both = _killed(pool, source, *first.bugs, *second.bugs)
    other_firsts = _same_span(firsts, first)[:2]
    other_seconds = _same_span(seconds, second)[:2]
    if both is None or not other_firsts or not other_seconds:
        return None
    # One line repaired and the other broken anew are bugs known to be caught; both anew are not.
    anew = (
        a.bugs + b.bugs
        for a, b in product(other_firsts, other_seconds)
        if _killed(pool, source, *a.bugs, *b.bugs) is not None
    )
    if (last := next(anew, None)) is None:
        return None
    numbers = [bug.line for bug in both.bugs]
    broken = (other_seconds[0].bugs, other_firsts[0].bugs, last)
    wrong = [_patch(source, bugs, numbers) for bugs in broken]
    return _row(source, "ood/difficulty", both, wrong)


def _row(source: Source, split: str, bug: Killed, wrong: list[tuple[str, ...]]) -> Row:
    """One line of the table. The place of the right candidate is uniform by hash."""
    numbers = [one.line for one in bug.bugs]
    key = f"{source.name} {bug.bugs}"
    place = int(CANDIDATES * stable_share(f"answer of {key}"))
    right = _patch(source, (), numbers)
    return Row(
        id="-".join([source.name, *map(str, numbers), f"{int(1e8 * stable_share(key)):08d}"]),
        split=split,
        family=f"{source.name}:{bug.bugs[0].function}",
        source=source.name,
        bugs=bug.bugs,
        failing=bug.failing,
        candidates=(*wrong[:place], right, *wrong[place:]),
        answer=place + 1,
        seconds=math.ceil(10 * bug.wall_s) / 10,
    )


def _length(row: Row) -> int:
    """Characters of the bug and its candidates."""
    return sum(len(line.strip()) for lines in (row.buggy, *row.candidates) for line in lines)


def _patch(source: Source, bugs: Sequence[Mutation], numbers: Sequence[int]) -> tuple[str, ...]:
    """Some lines of the source, with the bugs."""
    text = mutate(source.text, *bugs).split("\n")
    return tuple(text[number - 1] for number in numbers)


def _shuffled(source: Source, found: Sequence[Killed], salt: str = "") -> list[Killed]:
    """Bugs whose lines all differ, in a fixed order that has nothing to do with operators'."""
    order = sorted(found, key=lambda one: stable_share(f"{source.name}{salt}{one.bugs}"))
    distinct = {mutate(source.text, *one.bugs): one for one in reversed(order)}
    return list(reversed(distinct.values()))


def main() -> None:
    """Writes both files of the table."""
    with open_pool(SandboxConfig()) as pool:
        tests, rows = build(pool)
    write(tests, rows)


def write(tests: dict[str, Any], rows: list[Row]) -> None:
    """Writes `sources.json` and `tasks.jsonl`."""
    (corpus.DATA / "sources.json").write_text(json.dumps(tests, indent=1) + "\n", "ascii")
    lines = "".join(json.dumps(row.to_json()) + "\n" for row in rows)
    (corpus.DATA / "tasks.jsonl").write_text(lines, "ascii")


if __name__ == "__main__":
    main()
