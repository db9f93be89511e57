"""`python -m envs.check`: proves an environment sound before anyone trains on it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import gymnasium
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from envs import registry
from envs.checks.catalogue import CHECKS, by_name
from envs.checks.env_under_test import EnvUnderTest
from envs.checks.run import Check, Result, run_alone, run_check

__all__ = ["check", "main"]

PROG = "python -m envs.check"
COLOURS = {"ok": "green", "failed": "bold red", "skipped": "yellow"}
EXAMPLES = f"""\
examples:
  {PROG} toy_guess                      one of ours, by its short name
  {PROG} --all --quick                  all of ours, fewer tasks and episodes
  {PROG} my_module:me/my_env            yours: my_module is imported and registers it
  {PROG} my_env --only oracle chance    while you write it
  {PROG} --all --json > checks.json     for another program

Write oracle, critical, twin, chance and random_turn: a check of what is missing is skipped, and
a skipped check proves nothing. Exit code 0: nothing failed; 1: something failed; 2: bad arguments.

checks:
"""


def check(
    name: str, *, quick: bool = False, only: Sequence[Check] = CHECKS
) -> Iterable[Result]:
    """The results of the checks on an environment, as they come.

    Raises ValueError or gymnasium.error.Error for a name that is no TextEnv.
    """
    with EnvUnderTest(name, quick=quick) as subject:
        for item in only:
            yield (run_alone if item.alone else run_check)(item, subject)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _parser().parse_args(argv)
    names = registry.names() if arguments.all else arguments.names
    results: list[Result] = []
    table = _Lines() if not arguments.json else None
    try:
        only = [by_name(name) for name in arguments.only] or CHECKS
        if not names:
            raise ValueError("got no environment; name some, or pass --all")
        for name in dict.fromkeys(names):
            for result in check(name, quick=arguments.quick, only=only):
                results.append(result)
                if table is not None:
                    table.add(result)
    except (ValueError, ImportError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
    finally:
        if table is not None:
            table.stop()
    if table is None:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        table.finish(results)
    sys.exit(any(result.status == "failed" for result in results))


class _Lines:
    """A line for each result as it comes on a pipe; on a terminal a status, then one table."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._status: Any = None
        if self._console.is_terminal:
            self._status = self._console.status("checking")
            self._status.start()

    def add(self, result: Result) -> None:
        """Shows one result."""
        if self._status is not None:
            self._status.update(f"{result.env}: {result.check} {result.status}")
        else:
            detail = result.detail.replace("\n", " | ")
            line = f"{result.env} {result.check} {result.status} {result.seconds:.1f}s"
            print(f"{line} {detail}".rstrip(), flush=True)

    def stop(self) -> None:
        """Gives the terminal back."""
        if self._status is not None:
            self._status.stop()

    def finish(self, results: Sequence[Result]) -> None:
        """Shows the table, where there is a terminal, and the sums."""
        if self._status is not None:
            self._console.print(_table(results))
        count = {status: sum(r.status == status for r in results) for status in COLOURS}
        told = ", ".join(f"{number} {status}" for status, number in count.items())
        print(f"{len(results)} checks: {told}; {sum(r.seconds for r in results):.0f} s")


def _table(results: Sequence[Result]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("environment", "check", "result", "found"):
        table.add_column(name, overflow="fold")
    table.add_column("s", justify="right")
    for result in results:
        status = f"[{COLOURS[result.status]}]{result.status}[/]"
        found = escape(result.detail)
        table.add_row(result.env, result.check, status, found, f"{result.seconds:.1f}")
    return table


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Attacks environments and checks their contract. A sound one passes all.",
        epilog=EXAMPLES + "\n".join(f"  {c.name:14}{c.about}" for c in CHECKS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("names", nargs="*", metavar="NAME", help="an environment, as `env=` takes it")
    add("--all", action="store_true", help="every environment of ours")
    add(
        "--quick",
        action="store_true",
        help="fewer tasks, a quarter of the random episodes",
    )
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="CHECK",
        help="these checks alone; names below",
    )
    add("--json", action="store_true", help="the results as JSON on standard output")
    return made


if __name__ == "__main__":
    main()
