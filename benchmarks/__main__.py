"""`python -m benchmarks [NAME ...]`: runs the benchmarks beside this file and prints their ratios.

Each is a module with `main() -> list[Row]`. A ratio compares two things measured in turn in one
run, so that it means the same on another machine; absolute times do not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import Row

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"


def names() -> list[str]:
    """Benchmarks that there are."""
    return sorted(
        path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_")
    )


def commit() -> str:
    """The measured commit, marked where the tree differs from it; empty outside a checkout."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def show(rows: list[Row]) -> None:
    table = Table("benchmark", "measure", "value", "unit", "ratio", "against")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
        if found := row.get("interval"):
            ratio += f" [{found[0]:.3g}, {found[1]:.3g}]"
        value = f"{row['value']:.4g}"
        table.add_row(
            row["benchmark"], row["name"], value, row["unit"], ratio, row["against"]
        )
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}"
    )
    chosen = parser.parse_args().names or names()
    if unknown := set(chosen) - set(names()):
        parser.error(
            f"got {', '.join(sorted(unknown))}, wanted names of {', '.join(names())}"
        )
    rows: list[Row] = []
    for name in chosen:
        rows += importlib.import_module(f"benchmarks.{name}").main()
    show(rows)
    machine = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "commit": commit(),
    }
    machine["python"] = platform.python_version()
    RESULTS.write_text(json.dumps({**machine, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
