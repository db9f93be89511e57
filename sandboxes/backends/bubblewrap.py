"""Sandboxes by bubblewrap, for machines without Docker.

Same runner and protocol as in a container: own user, process, network, mount and IPC namespaces,
a read-only root with nothing but Python, no capability, the system-call filter.

What a container enforces and this cannot, for lack of control groups: total memory (each process
is limited, and their number), processor share, and the number of files. A machine that needs
those needs Docker. docs/sandbox.md has the whole table.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from sandboxes.backends.identities import with_own_id
from sandboxes.backends.rootfs import INSTALLED, root_folder
from sandboxes.base import Isolation, SandboxError
from sandboxes.client.pool import StreamPool
from sandboxes.client.stream import SocketStream, StreamSandbox
from sandboxes.config import SandboxConfig, no_sandbox_error
from sandboxes.inside.settings import START, Settings, inside_digest
from sandboxes.limits import compose_limits

__all__ = ["available", "open_pool", "start"]

_INSIDE = f"/{INSTALLED}"


def open_pool(size: int, config: SandboxConfig, since: str = "") -> StreamPool:
    """Up to `size` sandboxes; `since` is why this backend was chosen.

    Raises SandboxError if bubblewrap does not work here.
    """
    reason = available()
    if reason:
        raise no_sandbox_error(f"local: {reason}")
    description = f"local: {size} bubblewrap sandboxes (isolation: namespace)"
    if since:
        description += f" since {since}"
    return StreamPool(start, size, description)


def start(root: Callable[[], Path] = root_folder) -> StreamSandbox:
    """A new sandbox. Call it from a thread that lives as long as the sandbox.

    `root` gives the folder that is mounted as its root. Raises SandboxError.
    """

    def start_as(uid: int) -> StreamSandbox:
        command = _bubblewrap(root())
        return start_runner(command, Isolation.NAMESPACE, _identity(uid), {})

    return with_own_id(start_as)


@cache
def available() -> str:
    """Empty if bubblewrap can make sandboxes here, else why not."""
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (Debian and Ubuntu: apt-get install bubblewrap)"
    try:
        start().close()
    except SandboxError as error:
        return f"bubblewrap does not work here: {error}"
    return ""


def start_runner(
    command: list[str],
    isolation: Isolation,
    identity: dict[str, object],
    environment: dict[str, str],
    cwd: Path | None = None,
) -> StreamSandbox:
    """A sandbox whose runner is a child of this process and reads a socket that it inherits.

    `{stream}` in the command stands for the socket's descriptor; `identity` holds arguments of
    Popen that say who runs it. Raises SandboxError.
    """
    ours, theirs = socket.socketpair()
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - read after the process has failed
    try:
        with theirs:
            process = subprocess.Popen(
                [part.format(stream=theirs.fileno()) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=cwd,
                env={"PATH": os.defpath, **environment},
                pass_fds=[theirs.fileno()],
                **identity,  # type: ignore[arg-type]
            )
        return StreamSandbox(
            SocketStream(ours), isolation, inside_digest(), lambda: _end(process)
        )
    except (OSError, SandboxError) as error:
        ours.close()
        # Why the runner failed stands in its own output; the stream shows only that it ended.
        stderr.seek(0)
        output = stderr.read(2000).decode(errors="replace").strip()
        message = f"{error}; {output}" if output else str(error)
        raise SandboxError(message) from error
    finally:
        stderr.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def _identity(uid: int) -> dict[str, object]:
    """Arguments of Popen that start bubblewrap as `uid`, if this process is root.

    Started by root, bubblewrap would keep the kernel's uid 0 inside. The uid does not show inside,
    where every process has the one of the compose file.
    """
    if os.geteuid() != 0:
        return {}
    return {"user": uid, "group": uid, "extra_groups": []}


def _bubblewrap(root: Path) -> list[str]:
    """The command line of bubblewrap and of the runner inside."""
    limits = compose_limits()
    folders: list[str] = []
    for path, size in limits.folders_mib.items():
        folders += ["--perms", "0700", "--size", str(size << 20), "--tmpfs", path]
    environment: list[str] = []
    for name, value in Settings.of(limits.runner).environment.items():
        environment += ["--setenv", name, value]

    # Bubblewrap applies them in this order, so a mount may only come after what it covers.
    parts = [
        ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns"],
        ["--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"],
        ["--hostname", "sandbox", "--uid", str(limits.uid), "--gid", str(limits.uid)],
        ["--ro-bind", str(root), "/", "--proc", "/proc"],
        ["--ro-bind", "/proc/sys", "/proc/sys"],
        ["--dev", "/dev", "--remount-ro", "/dev"],
        # Its root and its ptmx belong to the commands, whose mode and times would outlive a lease.
        ["--remount-ro", "/dev/pts"],
        [*folders, "--chdir", _INSIDE, "--clearenv", *environment],
        ["/usr/bin/python3", "-c", START, *limits.runner],
        ["--stream={stream}", *command_limits()],
    ]
    return [argument for part in parts for argument in part]


def command_limits() -> list[str]:
    """Arguments of a runner that has to limit each command itself."""
    limits = compose_limits()
    return [
        f"--fsize={limits.fsize_mib << 20}",
        f"--nofile={limits.nofile}",
        f"--nproc={limits.pids}",
        f"--memory={limits.memory_mib << 20}",
    ]
