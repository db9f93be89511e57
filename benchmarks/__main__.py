"""`scgrpo bench [NAME ...]`: runs the benchmarks of this folder, prints one table and saves it.

Each is a module with `main(rounds) -> list[Row]`. A ratio compares two things measured in turn in
one run, so it means the same on another machine; absolute times do not.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks import Row
from benchmarks.tools.table import show, write

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def names() -> list[str]:
    """Names of the benchmarks, sorted."""
    stems = [path.stem for path in HERE.glob("*.py")]
    return sorted(stem for stem in stems if not stem.startswith("_"))


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the named benchmarks, or all. One that breaks is reported, and the others still run.

    Exits with 1 if one broke.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _arguments(argv)

    # After parsing, so that --help is quick: these import torch and altair.
    from benchmarks.tools.curves import curves
    from benchmarks.tools.machine import provenance
    from scgrpo.runs.disk import write_atomically

    command = shlex.join(["scgrpo", "bench", *argv])
    origin = {"command": command, **provenance(HERE)}
    rows: list[Row] = []
    faults: dict[str, str] = {}
    for name in arguments.names:
        print(f"[bench] {name}", file=sys.stderr)
        try:
            rows += importlib.import_module(f"benchmarks.{name}").main(arguments.rounds)
        except Exception as error:  # noqa: BLE001 - hours of the others' numbers are kept
            traceback.print_exc()
            faults[name] = f"{type(error).__name__}: {error}"
        # After each: what an interrupt leaves is complete up to there.
        write(arguments.out, rows, origin, faults)
        if drawn := curves(rows):
            write_atomically(arguments.out / "scaling.svg", drawn)

    show(rows)
    print(f"[bench] results: {arguments.out}", file=sys.stderr)
    for name, fault in faults.items():
        print(f"[bench] {name} broke: {fault}", file=sys.stderr)
    if faults:
        raise SystemExit(1)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("scgrpo bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="rounds of each instead of its own number; 1 tries whether it runs",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS,
        metavar="FOLDER",
        help="for results.json, results.md and scaling.svg; default: benchmarks/results",
    )
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.names) - set(names()))
    if unknown:
        parser.error(
            f"got {', '.join(unknown)}, expected names of {', '.join(names())}"
        )
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error(f"got --rounds {arguments.rounds}, expected at least 1")
    arguments.names = arguments.names or names()
    return arguments


if __name__ == "__main__":
    main()
