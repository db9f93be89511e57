"""`python -m benchmarks [NAME ...]`: runs the benchmarks of this folder and prints their ratios.

Each is a module with `main() -> list[Row]`. A ratio compares two things measured in turn in one
run, so it means the same on another machine; absolute times do not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmarks import Row
from sandboxes.terminal import terminal

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"


def names() -> list[str]:
    """Names of the benchmarks, sorted."""
    stems = [path.stem for path in HERE.glob("*.py")]
    return sorted(stem for stem in stems if not stem.startswith("_"))


def commit() -> str:
    """The measured commit, marked if the tree differs from it; empty outside a checkout."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    return result.stdout.strip()


def show(rows: list[Row]) -> None:
    """Prints the table."""
    table = Table("benchmark", "measure", "value", "unit", "ratio", "against")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
        if "interval" in row:
            low, high = row["interval"]
            ratio += f" [{low:.3g}, {high:.3g}]"
        value = f"{row['value']:.4g}"
        table.add_row(
            row["benchmark"], row["name"], value, row["unit"], ratio, row["against"]
        )
    terminal().print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the named benchmarks, or all; prints their table and saves it to `results.json`."""
    parser = argparse.ArgumentParser("scgrpo bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}"
    )
    chosen = parser.parse_args(argv).names or names()
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        parser.error(
            f"got {', '.join(unknown)}, expected names of {', '.join(names())}"
        )

    rows: list[Row] = []
    for name in chosen:
        rows += importlib.import_module(f"benchmarks.{name}").main()
    show(rows)

    results = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "commit": commit(),
        "python": platform.python_version(),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
