"""The resident runner: the first process of a sandbox, which starts, limits and ends all others.

It serves one lease at a time. Commands in Python are forked from this warm interpreter, so nothing
secret may stay in its memory: what a lease sends, and what its commands print, is in one mapping
that forked children do not get. Standard library only; runs on Python 3.11 and later.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import mmap
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandboxes.inside import seccomp, workspace
from sandboxes.inside.child import Child
from sandboxes.inside.frames import MAX_FRAME, MAX_PAYLOAD, SILENCE_S
from sandboxes.inside.leases import Disconnected, Lease, Listener
from sandboxes.inside.pipes import OUTPUT_ROOM, Pipes
from sandboxes.inside.program import keep_alive, rehearse
from sandboxes.inside.residue import Baseline
from sandboxes.inside.settings import Settings, inside_digest
from sandboxes.inside.streams import renew_streams
from sandboxes.inside.warm import landlock_rules

__all__ = ["Runner", "main"]

_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_FIRST_LEASE_S = 120.0
_REHEARSALS = 32
"""After this many the interpreter has specialized the code and no longer writes to it."""

_PAUSE_MS = 5.0
"""Silence of a client after which a child is forked for its next command.

One that asks sooner keeps the processor busy, or is about to reset, which ends a waiting child.
"""


class Runner:
    """Serves leases on one sandbox. Raises OSError if its folders cannot be prepared."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._digest = settings, inside_digest()
        size = MAX_FRAME + OUTPUT_ROOM
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_DONTFORK)
        self._memory, self._buffer = memory, memoryview(memory)
        self._listener = Listener(settings.listen) if settings.listen else None
        self._rules = -1
        if settings.seccomp:
            self._rules = landlock_rules((*settings.folders, "/dev"))
        self._baseline = self._first_state()
        self._limits = settings.limits
        self._child: Child | None = None

    def serve(self) -> None:
        """Runs until the sandbox has had its last lease.

        Raises OSError if it cannot be cleaned, TimeoutError if the first lease does not come.
        """
        while True:
            lease = self._next_lease()
            with contextlib.suppress(Disconnected):
                lease.send({"hello": self._digest})
                while True:
                    self._answer(lease)
            # Before the client's end is closed: what follows a lease must see a clean sandbox.
            self._clean()
            lease.close()

            if not self._listener:
                return
            if self._settings.once:
                self._listener.close()
                return

    def _next_lease(self) -> Lease:
        settings = self._settings
        if self._listener:
            return self._listener.accept(_FIRST_LEASE_S if settings.once else None)
        return Lease(settings.stream, settings.stream, None)

    def _answer(self, lease: Lease) -> None:
        """Serves one request. Raises Disconnected at the end of the lease or for a bad one."""
        if not self._child and not lease.has_request(_PAUSE_MS):
            self._child = self._new_child()
        header, payload = lease.receive(self._buffer[:MAX_FRAME])
        operation = header.get("op")
        try:
            if operation == "run":
                self._run(lease, header, payload)
            elif operation == "write":
                self._write(lease, header["files"], payload)
            elif operation == "read":
                self._read(lease, header["path"])
            elif operation == "reset":
                self._clean()
                lease.send({"ok": True})
            elif operation == "ping":
                lease.send({"ok": True})
            else:
                raise Disconnected(f"unknown operation {operation!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise Disconnected(f"bad request: {error}") from None
        if len(payload) > mmap.PAGESIZE:
            self._memory.madvise(mmap.MADV_DONTNEED)

    def _write(
        self, lease: Lease, files: list[tuple[str, int]], payload: memoryview
    ) -> None:
        try:
            with self._as_commands():
                for path, size in files:
                    workspace.write_file(self._settings.work, path, payload[:size])
                    payload = payload[size:]
        except OSError as error:
            lease.send({"failed": error.errno or errno.EIO})
        else:
            lease.send({"ok": True})

    def _read(self, lease: Lease, path: str) -> None:
        with self._as_commands():
            try:
                fd = workspace.open_regular(self._settings.work, path)
            except OSError as error:
                lease.send({"missing": os.strerror(error.errno or 0)})
                return

        # One byte more than fits, so that a file that is too large shows.
        size = 0
        try:
            while count := os.readv(fd, [self._buffer[size : MAX_PAYLOAD + 1]]):
                size += count
        finally:
            os.close(fd)
        if size > MAX_PAYLOAD:
            lease.send({"missing": f"larger than {MAX_PAYLOAD} bytes"})
        else:
            lease.send({"ok": True}, self._buffer[:size])
        self._memory.madvise(mmap.MADV_DONTNEED)

    def _run(
        self, lease: Lease, header: Mapping[str, Any], payload: memoryview
    ) -> None:
        job_size, timeout_s = int(header["job"]), float(header["timeout_s"])
        child = self._start(payload[:job_size])
        try:
            stdin = payload[job_size:]
            status, wall_s = self._wait_for(child, stdin, timeout_s, lease)
            child.pipes.drain()
        finally:
            child.close()

        pipes = child.pipes
        stdout, stderr = pipes.output
        answer = {
            "status": None if pipes.late else status,
            "late": pipes.late,
            "truncated": pipes.truncated,
            "wall_s": wall_s,
            "stdout": len(stdout),
        }
        lease.send(answer, stdout, stderr)

    def _new_child(self) -> Child:
        # The owner of a pipe may open it by its name: /dev/stdout, for one.
        with self._as_commands():
            pipes = Pipes(self._buffer[MAX_FRAME:])
        return Child(pipes, self._settings, self._limits, self._rules)

    def _start(self, job: memoryview) -> Child:
        """A child that becomes the command; a waiting one if there is one."""
        child, self._child = self._child, None
        if child:
            try:
                child.start(job)
                return child
            except BrokenPipeError:
                # Whatever ended it, the kernel for want of memory for one, was no command's doing.
                self._end(child.pid)
                child.close()
        child = self._new_child()
        # One that cannot be set up is a command that cannot start.
        with contextlib.suppress(BrokenPipeError):
            child.start(job)
        return child

    def _wait_for(
        self, child: Child, stdin: memoryview, timeout_s: float, lease: Lease
    ) -> tuple[int | None, float]:
        """Waits for a command's end or deadline; its status and wall-clock seconds.

        Raises Disconnected if the lease ends first. No process is left in either case.
        """
        begun = time.monotonic()
        try:
            child.pipes.watch(stdin, child.end, begun + timeout_s, lease)
            wall_s = time.monotonic() - begun
            if wall_s > timeout_s - SILENCE_S:
                # Killing a crowd of heavy processes may outlast a client's patience.
                lease.send({"ending": True})
        finally:
            status = self._end(child.pid)
        return status, wall_s

    def _end(self, child: int | None = None) -> int | None:
        """Ends every process of the sandbox; the child's status."""
        status = None
        # A process may fork while it is killed, so this repeats until nothing is left to wait for.
        # Orphans become children of this process, so no child means no process, and no kill.
        while True:
            try:
                pid, code = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    self._kill_all(child if status is None else None)
                    pid, code = os.waitpid(-1, 0)
            except ChildProcessError:
                return status
            if pid == child:
                status = os.waitstatus_to_exitcode(code)

    def _kill_all(self, child: int | None) -> None:
        # A child that is not yet the commands' user is reached by its number alone.
        if child is not None:
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        if not self._settings.owns_namespace:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return

        # As the commands' user, so that neither a capability is needed nor a relay is hit.
        uid = self._settings.uid
        if uid >= 0:
            os.setresuid(uid, uid, 0)
        try:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        finally:
            if uid >= 0:
                os.setresuid(0, 0, 0)

    def _first_state(self) -> Baseline:
        settings = self._settings
        owns_namespace = bool(settings.owns_namespace)
        with self._as_commands():
            for folder in settings.folders:
                workspace.wipe(folder)
            return Baseline(settings.folders, settings.listen, owns_namespace)

    def _clean(self) -> None:
        """Leaves nothing of a lease. Raises OSError if something is left all the same."""
        child, self._child = self._child, None
        self._end(child.pid if child else None)
        if child:
            child.close()
        with self._as_commands():
            for folder in self._settings.folders:
                workspace.wipe(folder)
            self._baseline.restore()
        self._memory.madvise(mmap.MADV_DONTNEED)
        self._baseline.prove(self._listener.inodes() if self._listener else ())

    @contextlib.contextmanager
    def _as_commands(self) -> Iterator[None]:
        """File access with the rights of the commands' user alone.

        Makes the folders accessible first, since a command may have changed their modes.
        """
        uid = self._settings.uid
        if uid >= 0:
            os.setegid(uid)
            os.seteuid(uid)
        try:
            for folder in self._settings.folders:
                os.chmod(folder, 0o700)
            yield
        finally:
            if uid >= 0:
                os.seteuid(0)
                os.setegid(0)


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def _harden(settings: Settings) -> None:
    # Python's handler would let a command interrupt process 1.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if not settings.owns_namespace:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if settings.seccomp:
        seccomp.forbid()


def main(arguments: Sequence[str]) -> None:
    """Serves until the end; a traceback and status 1 if the sandbox cannot be left clean.

    Raises Program in a child that becomes one.
    """
    settings = Settings.of(arguments)
    # Commands inherit it as it is.
    os.environ.clear()
    os.environ.update(settings.environment)
    _harden(settings)
    runner = Runner(settings)
    # Objects that exist now are never freed or collected, so that forks share their pages.
    gc.collect()
    keep_alive()
    # Not among those: what waits in a stream is written when it is freed.
    renew_streams()
    for _ in range(_REHEARSALS):
        rehearse()
    gc.freeze()
    with contextlib.suppress(TimeoutError):
        runner.serve()
