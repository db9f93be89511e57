"""`python -m sandboxes.doctor`: what this machine can do for sandboxes, and whether they hold."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandboxes.base import SandboxError
from sandboxes.client.pool import SandboxConfig, open_pool
from sandboxes.tools.host import look_around
from sandboxes.tools.self_check import ISOLATING, Finding, findings

__all__ = ["main"]

_HELP = """\
Looks at what this machine offers for sandboxes, takes a backend as training would, and attacks a
sandbox of it for a few seconds.

  docker   isolation "container": memory, processor and processes are limited for the whole sandbox
  local    isolation "namespace" (bubblewrap): the same filter and runner without a container;
           memory is limited for each process, the processor is not
  auto     docker where an engine answers, else local. It never takes `unsafe`, which isolates
           nothing and has to be asked for with sandbox.backend=unsafe sandbox.allow_unsafe=true

The exit status is 0 only where a backend that isolates has withstood every attack. A missing part
that the backend does not need is reported, with what to install, and does not change the status.
"""
_WHY = {
    "docker": "an engine answers, and only containers limit memory and processor of a whole sandbox",
    "local": "no Docker engine answers and bubblewrap works",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report; the exit status."""
    parser = argparse.ArgumentParser(
        "python -m sandboxes.doctor",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("auto", "docker", "local"),
        default="auto",
        help="which backend to attack (default: %(default)s)",
    )
    backend = parser.parse_args(arguments).backend
    console = Console()
    show(console, "This machine", look_around())
    return 0 if attack(console, backend) else 1


def attack(console: Console, backend: str) -> bool:
    """Runs the battery on a sandbox; whether it isolates and held everything."""
    try:
        with open_pool(SandboxConfig(backend=backend, size=1)) as pool:
            taken = pool.description.partition(":")[0]
            with pool.lease() as sandbox:
                isolation = sandbox.isolation
            why = "asked for by name" if backend != "auto" else _WHY[taken]
            title = (
                f"Attacks on {taken} (isolation: {isolation.value}), taken since {why}"
            )
            results = show(console, title, findings(pool))
    except SandboxError as error:
        say(console, f"No sandbox: {error}")
        return False
    held = isolation in ISOLATING and all(finding.good for finding in results)
    broken = ", ".join(finding.name for finding in results if not finding.good)
    verdict = (
        "hostile code is held" if held else f"do NOT run hostile code here: {broken}"
    )
    say(console, f"Verdict: {taken}, {verdict}")
    return held


def show(console: Console, title: str, found: Iterable[Finding]) -> list[Finding]:
    """Prints findings, as a table on a terminal and as they come into a pipe; all of them."""
    if not console.is_terminal:
        say(console, title)
        return [_printed(console, finding) for finding in found]
    kept = list(found)
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("", "what", "found", "to do"):
        table.add_column(name, overflow="fold")
    for finding in kept:
        mark = Text("ok", "green") if finding.good else Text("NO", "red")
        remedy = "" if finding.good else finding.remedy
        table.add_row(mark, *map(Text, (finding.name, finding.found, remedy)))
    console.print(table)
    return kept


def _printed(console: Console, finding: Finding) -> Finding:
    say(console, f"  {'ok' if finding.good else 'NO'}  {finding.name}: {finding.found}")
    if not finding.good and finding.remedy:
        say(console, f"      {finding.remedy}")
    return finding


def say(console: Console, text: str) -> None:
    """Prints a line as it is: into a pipe it is neither wrapped nor marked up."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
