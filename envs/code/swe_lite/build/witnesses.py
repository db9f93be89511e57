"""Reports which bugs of `swe_lite`'s table the witnesses catch, and writes it into the table.

    python -m envs.code.swe_lite.build.witnesses [SOURCE ...] [--write]

For each source: how many of its rows' bugs change an observation of its witness, the bugs that none
shows, whether the right module gives the same in three interpreters, and what a run costs.
`--write` puts this into `sources.json`; rows whose bug no observation shows leave every split, and
so do all rows of a source whose witness has problems. Needs bubblewrap.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from envs.code.swe_lite import corpus
from envs.code.swe_lite.build.bench import Bench
from envs.code.swe_lite.table import Row, rows, write_sources
from envs.code.values import Observations, cases, differences
from envs.code.witness import witness_files

__all__ = ["Report", "main", "parser", "report_of"]

REPEATS = 3
MIN_DEADLINE_S = 1.5
MAX_OUTPUT_CHARS = 48_000
"""Characters of a witness's output, well below the sandbox's cap."""


@dataclass(frozen=True)
class Report:
    """What the witness of a source is good for.

    | field | meaning |
    |---|---|
    | problems | why its observations prove nothing |
    | cases, observations | how many it has |
    | seconds | median of a run with the right module |
    | unseen | rows whose bug changes no observation |
    | rows | all rows of the source |
    """

    problems: Sequence[str]
    cases: int
    observations: int
    seconds: float
    unseen: Sequence[Row]
    rows: Sequence[Row]

    def to_json(self) -> dict[str, Any]:
        """What `sources.json` has of it."""
        return {
            "bugs": len(self.rows),
            "unseen": [row.id for row in self.unseen],
        }


def report_of(name: str) -> Report:
    """Tries the witness of a source on the right module and on every bug of its rows."""
    package = corpus.source(name)
    table = [row for row in rows() if row.source == name]
    with ExitStack() as stack:
        benches = [stack.enter_context(Bench(seed)) for seed in range(REPEATS)]
        # Twice in each: what a witness remembers between runs would show.
        runs = [
            _observe(bench, package, package.text, 30.0)
            for bench in benches
            for _ in range(2)
        ]
        right = runs[0][0]
        every_run = [observations for observations, _ in runs]
        problems = list(dict.fromkeys(_problems(right, every_run)))
        if not right:
            return Report(problems, 0, 0, 0.0, table, table)

        median_s = statistics.median(wall_s for _, wall_s in runs)
        limit_s = max(MIN_DEADLINE_S, 10 * median_s)
        unseen = [row for row in table if not _shows(benches[0], row, right, limit_s)]
    return Report(
        problems=problems,
        cases=len(right),
        observations=sum(map(len, right.values())),
        seconds=median_s,
        # A witness that proves nothing shows no bug.
        unseen=table if problems else unseen,
        rows=table,
    )


def _observe(
    bench: Bench, package: corpus.Source, text: str, timeout_s: float
) -> tuple[Observations | None, float]:
    """The observations of one version of a module, and the seconds that they took."""
    module, files = witness_files(package, text)
    start_s = time.monotonic()
    answer = bench.observe(files, module, timeout_s)
    wall_s = time.monotonic() - start_s
    return cases(answer), wall_s


def _problems(
    right: Observations | None, runs: Sequence[Observations | None]
) -> Iterator[str]:
    """Why the observations of the right module prove nothing."""
    if not right:
        yield "the right module gives nothing: does the witness import, and is it quick?"
        return
    for run in runs:
        for case, number in differences(right, run):
            yield f"{case}[{number}] differs between runs"

    size = len(json.dumps(list(right.items())))
    if size > MAX_OUTPUT_CHARS:
        yield f"got {size} characters of output, expected at most {MAX_OUTPUT_CHARS}"
    for case, values in right.items():
        for number, value in enumerate(values):
            if isinstance(value, dict) and "object" in value:
                yield f"got {value} from {case}[{number}], expected a plain value"


def _shows(bench: Bench, row: Row, right: Observations, limit_s: float) -> bool:
    """Whether a row's bug changes an observation."""
    observations, _ = _observe(
        bench,
        row.package,
        row.broken,
        timeout_s=limit_s,
    )
    first = next(differences(right, observations), None)
    return first is not None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m envs.code.swe_lite.build.witnesses",
        description="Report which bugs of swe_lite's task table the witnesses show. Exits with 1 "
        "if a witness has problems or misses a bug. Needs bubblewrap.",
    )
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="sources whose witnesses are tried; default: all",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="write the result into sources.json: rows whose bug no witness shows leave the splits",
    )
    return parser


def main() -> None:
    """Tries the named sources, or all; exits with 1 if one has problems or unseen bugs."""
    arguments = parser().parse_args()
    entries = dict(corpus.test_ids())
    all_good = True
    for name in arguments.sources or corpus.names():
        report = report_of(name)
        all_good = all_good and not report.problems and not report.unseen
        _print(name, report)
        entries[name] = {**entries[name], "witness": report.to_json()}
    if arguments.write:
        write_sources(entries)
    sys.exit(not all_good)


def _print(name: str, report: Report) -> None:
    num_bugs = len(report.rows)
    num_seen = num_bugs - len(report.unseen)
    milliseconds = 1000 * report.seconds
    print(
        f"{name}: {report.cases} cases, {report.observations} observations, "
        f"{milliseconds:.0f} ms; {num_seen} of {num_bugs} bugs are seen",
        flush=True,
    )
    for problem in report.problems:
        print(f"  problem: {problem}")
    # With problems every row is unseen, which says nothing about the bugs.
    if not report.problems:
        for row in report.unseen:
            _print_unseen(row)


def _print_unseen(row: Row) -> None:
    for bug, right, buggy in zip(row.bugs, row.right, row.buggy, strict=True):
        change = f"{right} -> {buggy}"
        print(f"  not seen: {row.id} {row.function} line {bug.line}: {change}")
    tests = ", ".join(row.failing[:4])
    print(f"      fails {tests}")


if __name__ == "__main__":
    main()
