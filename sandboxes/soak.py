"""`python -m sandboxes.soak`: starts, leases, loses and closes sandboxes, and counts what is left."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import docker as sdk
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from sandboxes.backends import bubblewrap as local
from sandboxes.backends import docker
from sandboxes.backends.containers import OWNER_LABEL, boot, compose_containers
from sandboxes.base import Sandbox, SandboxError, SandboxPool
from sandboxes.client.pool import SandboxConfig, open_pool

__all__ = ["Soak", "descendants", "main"]

_HELP = """\
Opens a pool, leases a sandbox and ends both, again and again, in four ways:

  closed    a command runs, the lease is given back, the pool is closed
  late      a command and its detached child outlive their deadline; a second lease waits in vain
  lost      the container, or bubblewrap, is killed under a running lease
  orphaned  the process that holds the lease is killed while its command runs

Afterwards there must be as many containers, processes, threads, sockets, other open files and
temporary files as before. Only what these sandboxes and their clients have made is counted, so other
work may go on beside it. The exit status is 0 only where nothing is left and every round went as
it should.
"""
_SUBREAPER = 36
_SETTLE_S = 30.0
_PATIENCE_S = 60.0
_SLEEP = ["python", "-c", "import time; time.sleep(600)"]
_DETACH = [
    "python",
    "-c",
    "import os, time\nif not os.fork(): os.setsid()\ntime.sleep(600)",
]


class Soak:
    """Rounds on one backend, and counts of everything that they could leave."""

    def __init__(self, backend: str, temporary: Path) -> None:
        self._config = SandboxConfig(backend=backend, size=1)
        self._backend, self._temporary = backend, temporary
        self._pids = {os.getpid()}
        self.ways: dict[str, Callable[[], None]] = {
            "closed": self._closed,
            "late": self._late,
            "lost": self._lost,
            "orphaned": self._orphaned,
        }

    def left(self) -> dict[str, int]:
        """How many there are now of each kind of thing."""
        _bury()
        files = [_target(fd) for fd in os.listdir("/proc/self/fd")]
        return {
            "containers": len(self.containers()) if self._backend == "docker" else 0,
            "processes": len(descendants()),
            "threads": len(os.listdir("/proc/self/task")),
            "sockets": sum(name.startswith("socket:") for name in files),
            "other open files": sum(not name.startswith("socket:") for name in files),
            "temporary files": sum(1 for _ in self._temporary.rglob("*")),
        }

    def settled(self) -> dict[str, int]:
        """What is left once sandboxes and engine have had time to finish their endings."""
        until = time.monotonic() + _SETTLE_S
        while (now := self.left())["containers"] + now[
            "processes"
        ] and time.monotonic() < until:
            time.sleep(0.2)
        return now

    def _closed(self) -> None:
        with open_pool(self._config) as pool, pool.lease(_PATIENCE_S) as sandbox:
            sandbox.write({"folder/file": b"content"})
            done = sandbox.run(
                ["python", "-c", "print(open('folder/file').read())"], timeout_s=20
            )
            _check(done.stdout == b"content\n", f"the command printed {done.stdout!r}")

    def _late(self) -> None:
        with open_pool(self._config) as pool, pool.lease(_PATIENCE_S) as sandbox:
            _check(
                sandbox.run(_DETACH, timeout_s=0.1).timed_out, "the command was in time"
            )
            _check(_raises(lambda: pool.lease(0.02)), "a sandbox was leased twice")

    def _lost(self) -> None:
        with open_pool(self._config) as pool:
            with pool.lease(_PATIENCE_S) as sandbox:
                self._kill()
                _check(
                    _raises(lambda: sandbox.run(_SLEEP, timeout_s=20)),
                    "a killed sandbox answered",
                )
            _check(_works(pool), "the sandbox was not replaced")

    def _orphaned(self) -> None:
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            _hold(self._config, writer)
        self._pids.add(pid)
        os.close(writer)
        held = os.read(reader, 1)
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _check(held == b".", "the client got no lease")

    def _kill(self) -> None:
        if self._backend != "docker":
            for pid in descendants():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return
        with closing(sdk.from_env()) as client:
            for name in self.containers():
                client.api.kill(name)

    def containers(self) -> dict[str, str]:
        """Containers of this process and of the clients that it made, with the state of each."""
        with closing(sdk.from_env()) as client:
            found = client.api.containers(all=True, filters={"label": OWNER_LABEL})
        owners = tuple(f"{boot()}/{pid}/" for pid in self._pids)
        return {
            one[
                "Id"
            ]: f"{one['State']} ({one['Status']}), of {one['Labels'][OWNER_LABEL]}"
            for one in found
            if one["Labels"][OWNER_LABEL].startswith(owners)
        }


def _check(good: bool, complaint: str) -> None:
    if not good:
        raise SandboxError(complaint)


def _raises(deed: Callable[[], object]) -> bool:
    try:
        deed()
    except SandboxError:
        return True
    return False


def _works(pool: SandboxPool) -> bool:
    with pool.lease(_PATIENCE_S) as sandbox:
        return sandbox.run(["python", "-c", "print(1)"], timeout_s=20).stdout == b"1\n"


def _hold(config: SandboxConfig, ready: int) -> None:
    """A client that is killed in the middle of a command; never returns."""
    try:
        sandbox: Sandbox = open_pool(config).lease(_PATIENCE_S)
        os.write(ready, b".")
        sandbox.run(_SLEEP, timeout_s=600)
    finally:
        os._exit(1)


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


def descendants() -> set[int]:
    """Processes that this one, or one that it started, has started; the dead ones too."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(
                stat.read_text().rpartition(")")[2].split()[1]
            )
    found, fresh = set(), {os.getpid()}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh}
        found |= fresh
    return found


def _bury() -> None:
    """Reaps what killed clients have left to this process."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


@contextmanager
def _own_temporary_folder() -> Iterator[Path]:
    """Where this process and its clients make temporary files meanwhile."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="scgrpo-soak-") as name:
        # Sandboxes of root run as somebody else.
        os.chmod(name, 0o711)
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before


def reason_against(backend: str) -> str:
    """Empty where the backend can be tried, else why not."""
    if backend == "local":
        return local.available()
    if reason := docker.available():
        return reason
    with closing(sdk.from_env()) as client:
        if compose_containers(client):
            return "it kills sandboxes, and some are kept by `docker compose up sandbox`; stop them"
    return ""


def soak(backend: str, leases: int, console: Console) -> bool:
    """Runs the rounds and prints what they left; whether all is well."""
    done, faults = Counter[str](), Counter[str]()
    begun = time.monotonic()
    with _own_temporary_folder() as temporary:
        rounds = Soak(backend, temporary)
        for way in rounds.ways.values():
            way()
        before = rounds.settled()
        for way in _counted(list(rounds.ways), leases, backend, console):
            done[way] += 1
            try:
                rounds.ways[way]()
            except (SandboxError, OSError) as error:
                faults[f"{way}: {error}"] += 1
        after = rounds.settled()
    ways = ", ".join(f"{count} {way}" for way, count in done.items())
    title = f"{backend}: {leases} leases in {time.monotonic() - begun:.0f} s ({ways})"
    console.print(title, highlight=False, soft_wrap=True)
    console.print(_table(before, after), highlight=False)
    for text, count in faults.items():
        console.print(f"{count} x {text}", markup=False, highlight=False)
    if after["containers"]:
        for name, state in rounds.containers().items():
            console.print(
                f"{name[:12]} is {state}", markup=False, highlight=False, soft_wrap=True
            )
    return (
        after == before and not faults and not after["containers"] + after["processes"]
    )


def _counted(
    ways: list[str], leases: int, backend: str, console: Console
) -> Iterator[str]:
    """Ways in turn, under a bar that needs no thread: rounds fork."""
    columns = (
        TextColumn(backend),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task(backend, total=leases)
        for number in range(leases):
            yield ways[number % len(ways)]
            progress.advance(task)
            progress.refresh()


def _table(before: dict[str, int], after: dict[str, int]) -> Table:
    table = Table("what")
    for name in ("before", "after", "left over"):
        table.add_column(name, justify="right")
    for what, count in before.items():
        table.add_row(what, str(count), str(after[what]), str(after[what] - count))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Soaks each backend that this machine has; the exit status."""
    parser = argparse.ArgumentParser(
        "python -m sandboxes.soak",
        description=_HELP,
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
    )
    chosen = parser.parse_args(arguments)
    if chosen.leases < 1:
        parser.error(f"got --leases {chosen.leases}, wanted at least 1")
    console = Console()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    results = []
    for backend in chosen.backends:
        if reason := reason_against(backend):
            console.print(
                f"{backend} is left out: {reason}", markup=False, highlight=False
            )
        else:
            results.append(soak(backend, chosen.leases, console))
    well = bool(results) and all(results)
    console.print(
        "Nothing is left." if well else "Something is left, or nothing could be tried."
    )
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
