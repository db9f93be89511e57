"""Says which bugs of `swe_lite`'s table the witnesses catch, and writes it into the table.

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
from envs.code.witness import witness_text

__all__ = ["Report", "main", "report_of"]

REPEATS = 3
LEAST_DEADLINE_S = 1.5
MOST_OUTPUT = 48_000
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
        return {"bugs": len(self.rows), "unseen": [row.id for row in self.unseen]}


def report_of(name: str) -> Report:
    """Tries the witness of a source on the right module and on every bug of its rows."""
    package = corpus.source(name)
    table = [row for row in rows() if row.source == name]
    with ExitStack() as stack:
        benches = [stack.enter_context(Bench(seed)) for seed in range(REPEATS)]
        runs = [
            _observed(bench, package, package.text, 30.0)
            for bench in benches
            for _ in (0, 1)
        ]
        right = runs[0][0]
        problems = list(dict.fromkeys(_problems(right, [seen for seen, _ in runs])))
        if not right:
            return Report(problems, 0, 0, 0.0, table, table)
        seconds = statistics.median(taken_s for _, taken_s in runs)
        limit_s = max(LEAST_DEADLINE_S, 10 * seconds)
        unseen = [row for row in table if not _shows(benches[0], row, right, limit_s)]
    count = sum(map(len, right.values()))
    return Report(
        problems, len(right), count, seconds, table if problems else unseen, table
    )


def _observed(
    bench: Bench, package: corpus.Source, text: str, timeout_s: float
) -> tuple[Observations | None, float]:
    """The observations of one version of a module, and the seconds that they took."""
    module = f"witness_{package.name}"
    files = {package.file: text, f"{module}.py": witness_text(package.name)}
    started = time.monotonic()
    answer = bench.observe(files, module, timeout_s)
    return cases(answer), time.monotonic() - started


def _problems(
    right: Observations | None, others: Sequence[Observations | None]
) -> Iterator[str]:
    if not right:
        yield "the right module gives nothing: does the witness import, and is it quick?"
        return
    for other in others:
        for difference in differences(right, other):
            yield f"{difference.case}[{difference.number}] differs between runs"
    if (size := len(json.dumps(list(right.items())))) > MOST_OUTPUT:
        yield f"it writes {size} characters, wanted at most {MOST_OUTPUT}"
    for case, values in right.items():
        for number, value in enumerate(values):
            if isinstance(value, dict) and "object" in value:
                yield f"{case}[{number}] gives {value}, wanted a plain value"


def _shows(bench: Bench, row: Row, right: Observations, limit_s: float) -> bool:
    given, _ = _observed(bench, row.package, row.broken, limit_s)
    return any(True for _ in differences(right, given))


def main() -> None:
    """Tries the named sources, or all; exits with 1 where one has problems or unseen bugs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="default: all")
    parser.add_argument(
        "--write", action="store_true", help="put what comes out into the table"
    )
    arguments = parser.parse_args()
    entries = dict(corpus.test_ids())
    good = True
    for name in arguments.sources or corpus.names():
        report = report_of(name)
        good = good and not report.problems and not report.unseen
        _print(name, report)
        entries[name] = {**entries[name], "witness": report.to_json()}
    if arguments.write:
        write_sources(entries)
    sys.exit(not good)


def _print(name: str, report: Report) -> None:
    print(
        f"{name}: {report.cases} cases, {report.observations} observations, "
        f"{1000 * report.seconds:.0f} ms; "
        f"{len(report.rows) - len(report.unseen)} of {len(report.rows)} bugs are seen",
        flush=True,
    )
    for problem in report.problems:
        print(f"  problem: {problem}")
    for row in () if report.problems else report.unseen:
        for number, was, now in zip(row.numbers, row.right, row.buggy, strict=True):
            print(f"  not seen: {row.id} {row.function} line {number}: {was} -> {now}")
        print(f"      fails {', '.join(row.failing[:4])}")


if __name__ == "__main__":
    main()
