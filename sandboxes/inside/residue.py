"""Removes what a lease has left on a sandbox's folders, and proves that nothing else is left.

A folder is more than its entries: attributes, access lists, flags, mode and times stay when it is
emptied. A dead process may still hold something: descriptors that it sent over a Unix socket that
no process can read any more are freed by the kernel's collector alone, some time later. So the
state before the first command is recorded, and every later one is compared with it. Standard
library only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Collection, Iterator

__all__ = ["Baseline"]

_MODE = 0o700
_PATIENCE_S = 1.0
"""How long the kernel may take to free what dead processes held."""

_PAUSE_S = 0.001
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_QUEUES = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")
_SOCKETS = "/proc/net/unix"
_READ_SIZE = 1 << 12


class Baseline:
    """A sandbox as it was before its first command.

    Create it with the rights of the commands' user, who owns the folders, while these are empty.
    `own_path` is the path at which the runner listens, empty if it does not. With `owns_namespace`
    false only the folders are compared: the kernel's tables are the whole machine's then.
    """

    def __init__(
        self, folders: Collection[str], own_path: str, owns_namespace: bool
    ) -> None:
        self._folders = [_Folder(path) for path in folders]
        self._own_path = own_path.encode()
        self._sockets, self._queues = -1, list[int]()
        if owns_namespace:
            self._sockets = _open(_SOCKETS)
            self._queues = [_open(path) for path in _QUEUES if os.path.exists(path)]

    def restore(self) -> None:
        """Gives the emptied folders their attributes, flags, modes and times of before.

        Call it with the rights of the commands' user. Raises OSError.
        """
        for folder in self._folders:
            folder.restore()

    def prove(self, own_sockets: Collection[int]) -> None:
        """Returns if all is as it was, at once or within a second.

        Call it when every command is dead. `own_sockets` are the inodes of the runner's sockets.
        Raises OSError that names the difference.
        """
        until = time.monotonic() + _PATIENCE_S
        while complaint := self._complaint(own_sockets):
            if time.monotonic() > until:
                raise OSError(
                    errno.EBUSY, f"a lease has left {complaint}; the sandbox ends"
                )
            # The end of any Unix socket starts the collector of those in flight.
            for end in socket.socketpair():
                end.close()
            time.sleep(_PAUSE_S)

    def _complaint(self, own_sockets: Collection[int]) -> str:
        """The first difference from the start; empty if there is none."""
        for folder in self._folders:
            complaint = folder.complaint()
            if complaint:
                return complaint
        for fd in self._queues:
            # A line of titles, and one for each that exists.
            if os.pread(fd, _READ_SIZE, 0).count(b"\n") > 1:
                return "a queue, a semaphore or shared memory of System V"
        if self._sockets < 0:
            return ""
        return self._strange_socket(own_sockets)

    def _strange_socket(self, own_sockets: Collection[int]) -> str:
        strangers = 0
        for inode, name in _unix_sockets(_read_all(self._sockets)):
            if name and name != self._own_path:
                return f"a socket named {name[:120]!r}"
            strangers += inode != 0 and inode not in own_sockets
        # A relay, which another client may start at any time, has one socket.
        if strangers and strangers > _count_others():
            return f"{strangers} sockets that no process holds"
        return ""


class _Folder:
    """One of the folders that commands may write."""

    def __init__(self, path: str) -> None:
        self._path, self._fd = path, os.open(path, _FOLDER)
        os.fchmod(self._fd, _MODE)
        status = os.fstat(self._fd)
        self._owner = (status.st_uid, status.st_gid)
        self._times = (status.st_atime_ns, status.st_mtime_ns)
        self._names, self._flags = self._attributes(), self._flags_now()
        # Without a file system of its own, the folder shares its room with the whole machine.
        self._is_limited = status.st_dev != os.stat(os.path.join(path, "..")).st_dev
        self._room = self._room_now()

    def restore(self) -> None:
        """See `Baseline.restore`."""
        for name in self._attributes() - self._names:
            os.removexattr(self._fd, name)
        if self._flags_now() != self._flags:
            fcntl.ioctl(self._fd, _SET_FLAGS, self._flags + bytes(4))
        os.fchmod(self._fd, _MODE)
        # Last, since what stands above changes them.
        os.utime(self._fd, ns=self._times)

    def complaint(self) -> str:
        """The first difference from the start; empty if there is none."""
        status = os.fstat(self._fd)
        has_owner = (status.st_uid, status.st_gid) == self._owner
        if not has_owner or status.st_mode & 0o7777 != _MODE:
            return f"another owner or mode of {self._path}: {status.st_mode:o}"
        if (status.st_atime_ns, status.st_mtime_ns) != self._times:
            return f"other times of {self._path}"

        extra = self._attributes() - self._names
        if extra:
            return f"attributes of {self._path}: {sorted(extra)[:8]}"
        flags = self._flags_now()
        if flags != self._flags:
            return f"flags of {self._path}: {flags.hex()}"
        room = self._room_now()
        if room != self._room:
            return f"{room} free blocks and inodes of {self._path}, not {self._room}"
        return ""

    def _attributes(self) -> set[str]:
        try:
            return set(os.listxattr(self._fd))
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return set()

    def _flags_now(self) -> bytes:
        try:
            # The number says long and the kernel writes an int.
            return fcntl.ioctl(self._fd, _GET_FLAGS, bytes(8))[:4]
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP):
                raise
            return bytes(4)

    def _room_now(self) -> tuple[int, int]:
        """Free blocks and inodes; zeros if they are not the sandbox's alone."""
        if not self._is_limited:
            return (0, 0)
        status = os.fstatvfs(self._fd)
        return status.f_bfree, status.f_ffree


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _read_all(fd: int) -> bytes:
    """All of a file of /proc, read from its beginning."""
    text = b""
    while part := os.pread(fd, _READ_SIZE, len(text)):
        text += part
    return text


def _unix_sockets(table: bytes) -> Iterator[tuple[int, bytes]]:
    """Inode and name of each Unix socket of this network namespace; an unnamed one has b""."""
    for line in table.split(b"\n")[1:]:
        # A name may hold spaces and line ends, so a line that does not fit is a part of a name.
        fields = line.split(None, 7)
        is_entry = len(fields) >= 7 and fields[0].endswith(b":") and fields[6].isdigit()
        if is_entry:
            yield int(fields[6]), fields[7] if len(fields) > 7 else b""
        elif line:
            yield 0, line


def _count_others() -> int:
    """Live processes of this namespace but this one."""
    own_pid = str(os.getpid())
    return sum(name.isdigit() and name != own_pid for name in os.listdir("/proc"))
