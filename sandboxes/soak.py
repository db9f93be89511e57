"""`scgrpo sandbox soak`: starts, leases, loses and closes sandboxes, and counts what is left."""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TimeRemainingColumn,
)
from rich.table import Table

from sandboxes.base import SandboxError
from sandboxes.commands import exit_codes
from sandboxes.terminal import terminal, text_column

__all__ = ["main", "soak"]

PROG = "scgrpo sandbox soak"
DESCRIPTION = """\
Opens a pool, leases a sandbox and ends both, again and again, in four ways:

  closed    a command runs, the lease is returned, the pool is closed
  late      a command and its detached child outlive their deadline; a second lease waits in vain
  lost      the container, or bubblewrap, is killed under a running lease
  orphaned  the process that holds the lease is killed while its command runs
"""
EPILOG = """\
Afterwards there must be as many containers, processes, threads, sockets, other open files and
temporary files as before. Only what these sandboxes and their clients have made is counted, so
other work may go on meanwhile. The exit status is 0 only if nothing is left and every round went
as it should.

examples:
  scgrpo sandbox soak
  scgrpo sandbox soak --leases 40 --backends local
"""
_SUBREAPER = 36


def soak(backend: str, leases: int, console: Console) -> bool:
    """Runs the rounds and prints what they left; whether all is well."""
    # Docker's SDK comes with the rounds, and `--help` should not wait for it.
    from sandboxes.tools.soak_rounds import Soak, own_temporary_folder

    done, faults = Counter[str](), Counter[str]()
    started = time.monotonic()
    with own_temporary_folder() as temporary:
        run = Soak(backend, temporary)
        # Once before the first count: caches and connections that stay are no leak.
        for play_round in run.rounds.values():
            play_round()
        before = run.final_counts()

        for name in _round_names(list(run.rounds), leases, backend, console):
            done[name] += 1
            try:
                run.rounds[name]()
            except (SandboxError, OSError) as error:
                faults[f"{name}: {error}"] += 1
        after = run.final_counts()

    seconds = time.monotonic() - started
    rounds = ", ".join(f"{count} {name}" for name, count in done.items())
    _print(console, f"{backend}: {leases} leases in {seconds:.0f} s ({rounds})")
    console.print(_table(before, after))
    for fault, count in faults.items():
        _print(console, f"{count} x {fault}")
    if after["containers"]:
        for container, state in run.containers().items():
            _print(console, f"{container[:12]} is {state}")

    running = after["containers"] + after["processes"]
    return after == before and not faults and not running


def _print(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True)


def _round_names(
    names: list[str], leases: int, backend: str, console: Console
) -> Iterator[str]:
    """Names of rounds in turn, under a bar that needs no thread: rounds fork."""
    columns = (
        text_column("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task(backend, total=leases)
        for number in range(leases):
            yield names[number % len(names)]
            progress.advance(task)
            progress.refresh()


def _table(before: dict[str, int], after: dict[str, int]) -> Table:
    table = Table("what")
    for header in ("before", "after", "left over"):
        table.add_column(header, justify="right")
    for what, count in before.items():
        left_over = after[what] - count
        table.add_row(what, str(count), str(after[what]), str(left_over))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--leases", type=int, default=1000, help="rounds (default: %(default)s)"
    )
    parser.add_argument(
        "--backends",
        nargs="+",
        choices=("docker", "local"),
        default=["docker", "local"],
        help="which backends to try (default: both)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Soaks each backend that this machine has; exits with 1 unless all is well."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.leases < 1:
        parser.error(f"got --leases {args.leases}, expected at least 1")

    from sandboxes.tools.soak_rounds import skip_reason

    console = terminal()
    with exit_codes(PROG):
        # Orphans of killed clients then come to this process, which counts and reaps them.
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        results = []
        for backend in args.backends:
            reason = skip_reason(backend)
            if reason:
                _print(console, f"{backend} is skipped: {reason}")
            else:
                results.append(soak(backend, args.leases, console))

    is_well = bool(results) and all(results)
    if not is_well:
        console.print("Something is left, or nothing could be tried.")
        sys.exit(1)
    console.print("Nothing is left.")


if __name__ == "__main__":
    main()
