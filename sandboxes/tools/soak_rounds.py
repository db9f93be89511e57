"""The rounds of `scgrpo sandbox soak`, and counts of everything that one could leave behind."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import docker as sdk

from sandboxes.backends import bubblewrap as local
from sandboxes.backends import docker
from sandboxes.backends.containers import OWNER_LABEL, boot, compose_containers
from sandboxes.base import SandboxError, SandboxPool
from sandboxes.config import SandboxConfig, open_pool

__all__ = ["Soak", "descendants", "own_temporary_folder", "skip_reason"]

_SETTLE_S = 30.0
_LEASE_S = 60.0
_SLEEP = ["python", "-c", "import time; time.sleep(600)"]
_DETACH = [
    "python",
    "-c",
    "import os, time\nif not os.fork(): os.setsid()\ntime.sleep(600)",
]


class Soak:
    """Rounds on one backend, and counts of everything that they could leave.

    `temporary` is the folder in which this process and its clients make temporary files.
    `rounds` has a round for each way to end a lease; one raises SandboxError if it goes wrong.
    """

    def __init__(self, backend: str, temporary: Path) -> None:
        self._config = SandboxConfig(backend=backend, size=1)
        self._backend, self._temporary = backend, temporary
        self._pids = {os.getpid()}
        # The caller's, such as a server of forks: neither leftovers nor to be killed.
        self._others = descendants()
        self.rounds: dict[str, Callable[[], None]] = {
            "closed": self._close_lease,
            "late": self._outlive_deadline,
            "lost": self._lose_sandbox,
            "orphaned": self._kill_client,
        }

    def counts(self) -> dict[str, int]:
        """How many there are now of each kind of thing."""
        _reap_children()
        files = [_target(fd) for fd in os.listdir("/proc/self/fd")]
        sockets = sum(name.startswith("socket:") for name in files)
        containers = len(self.containers()) if self._backend == "docker" else 0
        return {
            "containers": containers,
            "processes": len(self._processes()),
            "threads": len(os.listdir("/proc/self/task")),
            "sockets": sockets,
            "other open files": len(files) - sockets,
            "temporary files": sum(1 for _ in self._temporary.rglob("*")),
        }

    def final_counts(self) -> dict[str, int]:
        """Counts once sandboxes and engine have had time to finish their endings."""
        until = time.monotonic() + _SETTLE_S
        while True:
            counts = self.counts()
            running = counts["containers"] + counts["processes"]
            if not running or time.monotonic() >= until:
                return counts
            time.sleep(0.2)

    def _processes(self) -> set[int]:
        """Those that came below this process since the soak began."""
        return descendants() - self._others

    def containers(self) -> dict[str, str]:
        """Id -> state of each container of this process and of the clients that it started."""
        with closing(sdk.from_env()) as client:
            all_containers = client.api.containers(
                all=True, filters={"label": OWNER_LABEL}
            )
        prefixes = tuple(f"{boot()}/{pid}/" for pid in self._pids)
        states = {}
        for container in all_containers:
            owner = container["Labels"][OWNER_LABEL]
            if owner.startswith(prefixes):
                state = f"{container['State']} ({container['Status']}), of {owner}"
                states[container["Id"]] = state
        return states

    def _close_lease(self) -> None:
        read_back = ["python", "-c", "print(open('folder/file').read())"]
        with open_pool(self._config) as pool, pool.lease(_LEASE_S) as sandbox:
            sandbox.write({"folder/file": b"content"})
            result = sandbox.run(read_back, timeout_s=20)
            is_right = result.stdout == b"content\n"
            _check(is_right, f"the command printed {result.stdout!r}")

    def _outlive_deadline(self) -> None:
        with open_pool(self._config) as pool, pool.lease(_LEASE_S) as sandbox:
            result = sandbox.run(_DETACH, timeout_s=0.1)
            _check(result.timed_out, "the command was in time")
            _check(_raises(lambda: pool.lease(0.02)), "a sandbox was leased twice")

    def _lose_sandbox(self) -> None:
        with open_pool(self._config) as pool:
            with pool.lease(_LEASE_S) as sandbox:
                self._kill()
                is_lost = _raises(lambda: sandbox.run(_SLEEP, timeout_s=20))
                _check(is_lost, "a killed sandbox answered")
            _check(_works(pool), "the sandbox was not replaced")

    def _kill_client(self) -> None:
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            _hold_lease(self._config, writer)
        self._pids.add(pid)
        os.close(writer)

        # Its byte says that the lease exists; an end without one, that there was none.
        ready = os.read(reader, 1)
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _check(ready == b".", "the client got no lease")

    def _kill(self) -> None:
        """Kills what carries the sandboxes, without a word to their clients."""
        if self._backend != "docker":
            for pid in self._processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return
        with closing(sdk.from_env()) as client:
            for name in self.containers():
                client.api.kill(name)


def _check(condition: bool, complaint: str) -> None:
    if not condition:
        raise SandboxError(complaint)


def _raises(action: Callable[[], object]) -> bool:
    try:
        action()
    except SandboxError:
        return True
    return False


def _works(pool: SandboxPool) -> bool:
    with pool.lease(_LEASE_S) as sandbox:
        result = sandbox.run(["python", "-c", "print(1)"], timeout_s=20)
        return result.stdout == b"1\n"


def _hold_lease(config: SandboxConfig, ready: int) -> None:
    """A client that is killed in the middle of a command; never returns."""
    try:
        sandbox = open_pool(config).lease(_LEASE_S)
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
    """Processes that this one has started, or one of those; the dead ones too."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The fields behind the program's name: its state, then its parent.
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])

    below: set[int] = set()
    generation = {os.getpid()}
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation}
        below |= generation
    return below


def _reap_children() -> None:
    """Reaps what killed clients have left to this process."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


@contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """The folder in which this process and its clients make temporary files meanwhile."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="scgrpo-soak-") as name:
        # Sandboxes of root run as another user.
        os.chmod(name, 0o711)
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before


def skip_reason(backend: str) -> str:
    """Empty if the backend can be tried, else why not."""
    if backend == "local":
        return local.available()
    reason = docker.available()
    if reason:
        return reason
    with closing(sdk.from_env()) as client:
        if compose_containers(client):
            return "it kills sandboxes, and `docker compose up sandbox` runs some; stop them"
    return ""
