"""`scgrpo envs check`: proves an environment sound before anyone trains on it."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from envs import registry
from envs.checks.catalogue import CHECKS, Check, by_name
from envs.checks.env_under_test import EnvUnderTest
from envs.checks.run import Result, run_alone, run_check
from sandboxes.commands import exit_codes
from sandboxes.terminal import plain, terminal

__all__ = ["check", "main"]

PROG = "scgrpo envs check"
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
    results: list[Result] = []
    lines = None if arguments.json else _Lines()
    with exit_codes(PROG, bad_input=(ImportError,)):
        try:
            # As they come: a whole check takes minutes.
            for result in _results(arguments):
                results.append(result)
                if lines is not None:
                    lines.add(result)
        finally:
            if lines is not None:
                lines.stop()

    if lines is None:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        lines.finish(results)
    sys.exit(int(any(result.status == "failed" for result in results)))


def _results(arguments: argparse.Namespace) -> Iterator[Result]:
    """Results of every named environment. Raises ValueError if there is none."""
    only = [by_name(name) for name in arguments.only] or CHECKS
    names = registry.names() if arguments.all else arguments.names
    if not names:
        raise ValueError("got no environment; name some, or pass --all")
    for name in dict.fromkeys(names):
        yield from check(name, quick=arguments.quick, only=only)


class _Lines:
    """A line for each result as it comes on a pipe; on a terminal a status, then one table."""

    def __init__(self) -> None:
        self._console = terminal()
        self._status: Any = None
        if self._console.is_terminal:
            self._status = self._console.status("checking")
            self._status.start()

    def add(self, result: Result) -> None:
        """Shows one result."""
        if self._status is not None:
            self._status.update(Text(f"{result.env}: {result.check} {result.status}"))
        else:
            detail = result.detail.replace("\n", " | ")
            line = f"{result.env} {result.check} {result.status} {result.seconds:.1f}s"
            print(f"{line} {detail}".rstrip(), flush=True)

    def stop(self) -> None:
        """Gives the terminal back."""
        if self._status is not None:
            self._status.stop()

    def finish(self, results: Sequence[Result]) -> None:
        """Shows the table, if there is a terminal, and the sums."""
        if self._status is not None:
            self._console.print(_table(results))
        counts = Counter(result.status for result in results)
        sums = ", ".join(f"{counts[status]} {status}" for status in COLOURS)
        seconds = sum(result.seconds for result in results)
        print(f"{len(results)} checks: {sums}; {seconds:.0f} s")


def _table(results: Sequence[Result]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("environment", "check", "result", "detail"):
        table.add_column(name, overflow="fold")
    table.add_column("s", justify="right")
    for result in results:
        status = Text(result.status, COLOURS[result.status])
        seconds = f"{result.seconds:.1f}"
        table.add_row(
            plain(result.env), result.check, status, plain(result.detail), seconds
        )
    return table


def _parser() -> argparse.ArgumentParser:
    checks = [f"  {item.name:14}{item.about}" for item in CHECKS]
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Attacks environments and checks their contract. A sound one passes all.",
        epilog=EXAMPLES + "\n".join(checks),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
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
    return parser


if __name__ == "__main__":
    main()
