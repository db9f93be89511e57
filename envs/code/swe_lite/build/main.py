"""Extends `swe_lite`'s task table: breaks every source in every way and keeps what its tests catch.

    python -m envs.code.swe_lite.build.main FOLDER [SOURCE ...] [--fill SPLIT ...]

writes a file to FOLDER for each source as soon as it is done, and takes up an interrupted build
there; then adds the rows to `tasks.jsonl.gz` and `sources.json`. Rows that the table holds stay:
their functions keep their split. `--fill` looks for no new rows: those of the splits that have no
candidates get some, if their lines give fair ones. Needs bubblewrap.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from envs.code.swe_lite import corpus
from envs.code.swe_lite.build.bench import Bench
from envs.code.swe_lite.build.rows import fill_candidates, rows_of
from envs.code.swe_lite.corpus import Source
from envs.code.swe_lite.grading import SuiteRun
from envs.code.swe_lite.table import Row, rows, write

__all__ = ["Lab", "baseline", "collect", "main", "parser"]

REPEATS = 3
"""Interpreters that a bug has to fail in, each with another order of sets."""

BASELINE_S = 30.0
"""Deadline of the right module's runs, before it is known how long they take."""

MIN_DEADLINE_S = 1.5
DEADLINE_FACTOR = 10.0
WORKERS = 2


@dataclass(frozen=True)
class Lab:
    """Runs one source's suite against versions of it.

    | field | meaning |
    |---|---|
    | source | with the names of its tests |
    | benches | `REPEATS` interpreters |
    | timeout_s | far above the suite's own time, so that only a bug that loops reaches it |
    """

    source: Source
    benches: Sequence[Bench]
    timeout_s: float

    def run(self, text: str) -> SuiteRun:
        """The suite against a version of the module."""
        return self._run(self.benches[0], text)

    def run_again(self, text: str) -> list[SuiteRun]:
        """The same in every other interpreter."""
        others = self.benches[1:]
        return [self._run(bench, text) for bench in others]

    def _run(self, bench: Bench, text: str) -> SuiteRun:
        source = self.source
        files = {
            source.file: text,
            source.test_file: source.tests,
        }
        return bench.run(files, f"test_{source.name}", self.timeout_s)


def baseline(benches: Sequence[Bench], source: Source) -> Lab:
    """A lab for the source, with the names of its tests: skipped ones do not count.

    Raises ValueError if a test does not pass every time, the visible ones alone included.
    """
    lab = Lab(source, benches, BASELINE_S)
    runs = [lab.run(source.text), *lab.run_again(source.text)]
    names: set[str] = set()
    for name, reason in runs[0].reasons.items():
        if not reason.startswith("skipped"):
            names.add(name)
    if any(run.timed_out or run.failures(names) for run in runs):
        raise ValueError(f"got {runs}, expected {source.name} to pass all its tests")

    visible = _visible_alone(benches[0], source, names)
    slowest_s = max(run.wall_s for run in runs)
    complete = replace(
        source,
        all_ids=tuple(sorted(names)),
        hidden_ids=frozenset(names - visible),
    )
    return Lab(
        source=complete,
        benches=benches,
        timeout_s=max(MIN_DEADLINE_S, DEADLINE_FACTOR * slowest_s),
    )


def _visible_alone(bench: Bench, source: Source, names: Set[str]) -> Set[str]:
    """Which of the tests run without the hidden ones, as a policy runs them.

    Raises ValueError if one fails then, or if all are visible.
    """
    files = {
        source.file: source.text,
        source.test_file: source.visible,
    }
    run = bench.run(files, f"test_{source.name}", BASELINE_S)
    visible = names & set(run.reasons)
    if visible == names:
        raise ValueError(
            f"got {len(names)} tests of {source.name}, all of them visible: "
            "expected hidden ones"
        )
    if run.failures(visible):
        raise ValueError(
            f"got {run}, expected the visible tests of {source.name} to pass alone"
        )
    return visible


def _build_one(name: str, folder: Path, fill: Sequence[str]) -> None:
    """Writes the folder's file of a source, unless it is there."""
    path = folder / f"{name}.json"
    if path.exists():
        return

    with ExitStack() as stack:
        benches = [stack.enter_context(Bench(seed)) for seed in range(REPEATS)]
        lab = baseline(benches, corpus.source(name))
        new = _new_rows(lab, fill)

    source = lab.source
    tests = {
        "all": list(source.all_ids),
        "hidden": sorted(source.hidden_ids),
    }
    data = {
        "tests": tests,
        "rows": [row.to_json() for row in new],
    }
    # In one step: an interrupted build takes a file that exists for done.
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data), "ascii")
    part.rename(path)

    num_tests = len(source.all_ids)
    sizes = dict(Counter(row.split for row in new))
    print(f"{name}: {num_tests} tests, {len(new)} tasks {sizes}", flush=True)


def _new_rows(lab: Lab, fill: Sequence[str]) -> list[Row]:
    """What the table lacks of the lab's source: rows, or candidates in the splits to `fill`."""
    name = lab.source.name
    old = [row for row in rows() if row.source == name]
    if not fill:
        return rows_of(lab, old)
    old = [row for row in old if row.split in fill]
    return fill_candidates(lab, old)


def collect(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """The tests of every source by name, and the table's rows followed by the folder's."""
    tests: dict[str, Any] = dict(corpus.test_ids())
    table = {row.id: row for row in rows()}
    for path in sorted(folder.glob("*.json")):
        text = path.read_text("ascii")
        built = json.loads(text)
        tests[path.stem] = built["tests"]
        for data in built["rows"]:
            row = Row.from_json(data)
            old = table.get(row.id)
            # What a task is made of stays; candidates are only added.
            if old is None or not old.candidates:
                table[row.id] = row

    tests = dict(sorted(tests.items()))
    return tests, list(table.values())


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m envs.code.swe_lite.build.main",
        description="Extend the task table of swe_lite: break every source in every way and keep "
        "what its tests catch. Rows that the table holds stay. Needs bubblewrap.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="where each source's rows are written first; an interrupted build resumes there",
    )
    parser.add_argument(
        "sources",
        nargs="*",
        default=corpus.names(),
        metavar="SOURCE",
        help="sources to break; default: all",
    )
    parser.add_argument(
        "--fill",
        nargs="+",
        default=(),
        metavar="SPLIT",
        help="make no new rows, but give candidates to those rows of these splits that have none",
    )
    return parser


def main() -> None:
    """Builds what the folder lacks, and writes both files of the table."""
    arguments = parser().parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    build = partial(_build_one, folder=folder, fill=arguments.fill)
    with ThreadPoolExecutor(WORKERS) as threads:
        # A list, so that what a thread raises is raised here.
        list(threads.map(build, arguments.sources))

    tests, table = collect(folder)
    write(tests, table)


if __name__ == "__main__":
    main()
