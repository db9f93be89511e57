"""Says which bugs of `swe_lite`'s table the witnesses catch, and writes it into the table.

    python -m envs.code.build_witnesses [SOURCE ...] [--write]

For each source: how many of its rows' bugs change an observation of its witness, the bugs that none
shows, whether the right module gives the same in three interpreters, and what a run costs.
`--write` puts the case that catches a row's bug into the row; rows without one leave every split.
Needs bubblewrap.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from envs.code import corpus
from envs.code.bench import Bench
from envs.code.table import Row, rows
from envs.code.values import Observations, cases, differences
from envs.code.witness import witness_text

__all__ = ["Caught", "main", "try_source"]

REPEATS = 3
LEAST_DEADLINE_S = 1.5
MOST_OUTPUT = 48_000
"""Characters of a witness's output, well below the sandbox's cap."""


@dataclass(frozen=True)
class Caught:
    """A row, and the case of the witness that shows its bug; empty where none does."""

    row: Row
    case: str
    count: int


def observed(bench: Bench, package: corpus.Source, text: str, timeout_s: float):
    """The observations of one version of a module, and the seconds that they took."""
    module = f"witness_{package.name}"
    files = {package.file: text, f"{module}.py": witness_text(package.name)}
    started = time.monotonic()
    answer = bench.observe(files, module, timeout_s)
    return cases(answer), time.monotonic() - started


def try_source(name: str) -> tuple[list[str], list[Caught]]:
    """What is wrong with the witness of a source, and what it says of each row."""
    package = corpus.source(name)
    table = [row for row in rows() if row.source == name]
    with ExitStack() as stack:
        benches = [stack.enter_context(Bench(seed)) for seed in range(REPEATS)]
        seen = [observed(bench, package, package.text, 30.0) for bench in benches for _ in (0, 1)]
        right = seen[0][0]
        problems = list(_problems(right, [one for one, _ in seen]))
        if not right:
            return problems, []
        seconds = statistics.median(s for _, s in seen)
        limit_s = max(LEAST_DEADLINE_S, 10 * seconds)
        print(
            f"{name}: {len(right)} cases, {sum(map(len, right.values()))} observations, "
            f"{1000 * seconds:.0f} ms",
            flush=True,
        )
        caught = [_caught(benches[0], row, right, limit_s) for row in table]
    return problems, caught


def _problems(right: Observations | None, others: Sequence[Observations | None]):
    if not right:
        yield "the right module gives nothing: does the witness import, and is it quick?"
        return
    for other in others:
        for difference in differences(right, other):
            yield f"{difference.case}[{difference.number}] differs between runs"
    for case, values in right.items():
        for number, value in enumerate(values):
            if isinstance(value, dict) and "object" in value:
                yield f"{case}[{number}] gives {value}, wanted a plain value"


def _caught(bench: Bench, row: Row, right: Observations, limit_s: float) -> Caught:
    given, _ = observed(bench, row.package, row.broken, limit_s)
    different = list(differences(right, given))
    return Caught(row, different[0].case if different else "", len(different))


def main() -> None:
    """Tries the named sources, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sources", nargs="*", default=corpus.names())
    arguments = parser.parse_args()
    for name in arguments.sources:
        problems, caught = try_source(name)
        for problem in dict.fromkeys(problems):
            print(f"  problem: {problem}")
        missed = [one.row for one in caught if not one.case]
        print(f"  {len(caught) - len(missed)} of {len(caught)} bugs are seen", flush=True)
        for row in missed:
            for number, was, now in zip(row.numbers, row.right, row.buggy, strict=True):
                print(f"  not seen: {row.id} {row.function} line {number}: {was} -> {now}")
            print(f"      fails {', '.join(row.failing[:4])}")


if __name__ == "__main__":
    main()
