"""`scgrpo sandbox doctor`: what this machine can do for sandboxes, and whether they hold."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandboxes.base import SandboxError
from sandboxes.commands import exit_codes
from sandboxes.config import SandboxConfig, open_pool
from sandboxes.terminal import plain, terminal
from sandboxes.tools.self_check import ISOLATING, CheckResult, self_check

__all__ = ["main"]

PROG = "scgrpo sandbox doctor"
DESCRIPTION = """\
Checks what this machine offers for sandboxes, opens a backend as training would, and attacks a
sandbox of it for a few seconds.

  docker   isolation "container": memory, processor and processes are limited for the whole sandbox
  local    isolation "namespace" (bubblewrap): the same filter and runner without a container;
           memory is limited for each process, the processor is not
  auto     docker if an engine answers, else local. It never takes `unsafe`, which isolates
           nothing and needs sandbox.backend=unsafe sandbox.allow_unsafe=true
"""
EPILOG = """\
The exit status is 0 only if a backend that isolates has withstood every attack. A missing part
that the backend does not need is reported, with what to install, and does not change the status.

examples:
  scgrpo sandbox doctor
  scgrpo sandbox doctor --backend local
"""
_WHY = {
    "docker": "an engine answers, and only containers limit the memory and processor of a sandbox",
    "local": "no Docker engine answers and bubblewrap works",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the report; exits with 1 unless hostile code is held."""
    parser = argparse.ArgumentParser(
        PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("auto", "docker", "local"),
        default="auto",
        help="which backend to attack (default: %(default)s)",
    )
    backend = parser.parse_args(argv).backend
    # Docker's SDK comes with the checks, and `--help` should not wait for it.
    from sandboxes.tools.host import host_checks

    console = terminal()
    with exit_codes(PROG):
        show(console, "This machine", host_checks())
        holds = attack(console, backend)
    if not holds:
        sys.exit(1)


def attack(console: Console, backend: str) -> bool:
    """Runs the self-check on a sandbox; whether it isolates and every check passed."""
    try:
        with open_pool(SandboxConfig(backend=backend, size=1)) as pool:
            name = pool.description.partition(":")[0]
            with pool.lease() as sandbox:
                isolation = sandbox.isolation
            why = (
                "chosen by name" if backend != "auto" else f"chosen since {_WHY[name]}"
            )
            title = f"Attacks on {name} (isolation: {isolation.value}), {why}"
            results = show(console, title, self_check(pool))
    except SandboxError as error:
        say(console, f"No sandbox: {error}")
        return False

    failures = [result.name for result in results if not result.passed]
    holds = isolation in ISOLATING and not failures
    if holds:
        verdict = "hostile code is held"
    else:
        verdict = f"do NOT run hostile code here: {', '.join(failures)}"
    say(console, f"Verdict: {name}, {verdict}")
    return holds


def show(
    console: Console, title: str, results: Iterable[CheckResult]
) -> list[CheckResult]:
    """Prints results and returns them: as a table on a terminal, line by line into a pipe."""
    if not console.is_terminal:
        return _show_lines(console, title, results)

    rows = list(results)
    table = Table(title=title, title_justify="left", title_style="bold")
    for header in ("", "what", "observed", "to do"):
        table.add_column(header, overflow="fold")
    for row in rows:
        mark = Text("ok", "green") if row.passed else Text("NO", "red")
        remedy = "" if row.passed else row.remedy
        table.add_row(mark, *map(plain, (row.name, row.detail, remedy)))
    console.print(table)
    return rows


def _show_lines(
    console: Console, title: str, results: Iterable[CheckResult]
) -> list[CheckResult]:
    say(console, title)
    rows = []
    for row in results:
        rows.append(row)
        mark = "ok" if row.passed else "NO"
        say(console, f"  {mark}  {row.name}: {row.detail}")
        if not row.passed and row.remedy:
            say(console, f"      {row.remedy}")
    return rows


def say(console: Console, text: str) -> None:
    """Prints a line as it is: into a pipe it is neither wrapped nor marked up."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
