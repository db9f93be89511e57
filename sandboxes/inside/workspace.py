"""File operations inside a sandbox, on a folder that hostile code owns. Standard library only.

No path is ever followed by name: each component is opened from its parent's descriptor without
following links. Call these while nothing else runs in the sandbox.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["components", "open_regular", "wipe", "write_file"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def components(path: str) -> list[str]:
    """Parts of a relative path.

    Raises ValueError for an empty or absolute path, one with `..`, with a null byte, or with half a
    surrogate pair, which no name of a file can have.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ValueError(f"got path {path!r}, expected a relative one without '..'")
    try:
        path.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(
            f"got path {path!r}, expected a relative one of whole characters"
        ) from None
    return parts


@contextmanager
def _descriptor(
    name: str, flags: int, folder: int | None, mode: int = 0o600
) -> Iterator[int]:
    fd = os.open(name, flags, mode, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def write_file(root: str, path: str, content: memoryview) -> None:
    """Writes a regular file, replacing whatever has its name. Raises OSError."""
    *parents, leaf = components(path)
    folder = os.open(root, _FOLDER)
    try:
        for name in parents:
            inner = _enter(folder, name)
            os.close(folder)
            folder = inner

        _clear(folder, leaf)
        # Exclusive: a link that stands there again is an error and not followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _descriptor(leaf, flags, folder, 0o644) as fd:
            while content:
                content = content[os.write(fd, content) :]
    finally:
        os.close(folder)


def open_regular(root: str, path: str) -> int:
    """Descriptor of a regular file, for reading. Raises OSError."""
    *parents, leaf = components(path)
    folder = os.open(root, _FOLDER)
    try:
        for name in parents:
            inner = os.open(name, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner

        # Not blocking: opening a named pipe would wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(leaf, flags, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return fd


def wipe(root: str) -> None:
    """Empties a folder of any depth, whatever its modes. Raises OSError if it cannot.

    Folders are moved up before they are emptied, so neither recursion nor open files grow with
    the depth.
    """
    with _descriptor(root, _FOLDER, None) as top:
        _empty(top)


def _empty(top: int) -> None:
    # Again until nothing is left: removing a folder moves those inside it up to this level.
    while names := os.listdir(top):
        for name in names:
            _remove(top, name)


def _is_folder(folder: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _enter(folder: int, name: str) -> int:
    """Descriptor of a folder inside another one, made if it is missing or no folder."""
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        if _is_folder(folder, name):
            os.chmod(name, 0o755, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
            os.mkdir(name, 0o755, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def _clear(folder: int, name: str) -> None:
    """Removes whatever has the name."""
    try:
        if not _is_folder(folder, name):
            os.unlink(name, dir_fd=folder)
            return
    except FileNotFoundError:
        return
    os.chmod(name, 0o700, dir_fd=folder)
    with _descriptor(name, _FOLDER, folder) as top:
        _empty(top)
    os.rmdir(name, dir_fd=folder)


def _remove(top: int, name: str) -> None:
    """Removes an entry of `top`; moves the folders inside it up to `top` first."""
    if not _is_folder(top, name):
        os.unlink(name, dir_fd=top)
        return
    os.chmod(name, 0o700, dir_fd=top)
    with _descriptor(name, _FOLDER, top) as folder:
        for inner in os.listdir(folder):
            if _is_folder(folder, inner):
                # A folder without write permission cannot be moved.
                os.chmod(inner, 0o700, dir_fd=folder)
                _move_up(folder, inner, top)
            else:
                os.unlink(inner, dir_fd=folder)
    os.rmdir(name, dir_fd=top)


def _move_up(folder: int, name: str, top: int) -> None:
    for _ in range(1000):
        # Random, since code that knows the next names could occupy them all. `secrets` would be a
        # large import for every command's interpreter.
        free_name = f".{os.urandom(16).hex()}"
        try:
            os.rename(name, free_name, src_dir_fd=folder, dst_dir_fd=top)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return
    raise OSError(errno.EEXIST, "no free name to move a folder to", name)
