"""Files and folders that are written in one step, and disk errors that say what to do."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from sandboxes.commands import CommandError

__all__ = [
    "DiskError",
    "atomic_folder",
    "disk_errors_explained",
    "link_atomically",
    "remove_scratch",
    "sha256_of",
    "write_atomically",
]

ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, or choose a folder on another disk",
    errno.EDQUOT: "the disk quota is spent: free some space, or choose a folder on another disk",
    errno.EROFS: "the disk is read-only: choose a folder that can be written",
    errno.EACCES: "permission denied: choose a folder that you may write",
    errno.EPERM: "permission denied: choose a folder that you may write",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EIO: "the disk reports a hardware fault: choose a folder on another disk",
}


class DiskError(CommandError):
    """A write failed; the message names the path and says what to do."""


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors_explained(path: Path) -> Iterator[None]:
    """Turns the disk's refusal to write below `path` into a DiskError; other errors pass."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        advice = ADVICE.get(_errno(error) or 0)
        if advice is None:
            raise
        raise DiskError(f"cannot write {path}: {advice}") from error


def write_atomically(path: Path, data: str | bytes) -> None:
    """Writes the file in one step: a reader sees the old content or the new one, never a part.

    Makes the parent folder if there is none; text is encoded as UTF-8. After a failure the old
    file is unchanged and no temporary file is left.
    Raises DiskError when the disk is full or cannot be written.
    """
    content = data.encode() if isinstance(data, str) else data
    # In the same folder, because a rename is atomic only within one file system.
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    with disk_errors_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_bytes(content)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def link_atomically(link: Path, target: str) -> None:
    """Points the link at the folder `target`, a path relative to it, in one step.

    A reader finds the old folder or the new one. Raises DiskError when the disk cannot be
    written.
    """
    scratch = link.with_name(f".{link.name}-{os.getpid()}")
    with disk_errors_explained(link):
        scratch.unlink(missing_ok=True)
        try:
            scratch.symlink_to(target, target_is_directory=True)
            scratch.replace(link)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A scratch folder that takes `target`'s place in one step when the block succeeds.

    Everything in it is on the disk by then. After any failure `target` is what it was before.
    Raises DiskError when the disk is full or cannot be written.
    """
    with disk_errors_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.name}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as scratch:
            folder = Path(scratch) / "new"
            folder.mkdir()
            yield folder

            # Contents before names: after a power cut a folder in place is a complete one.
            for path in folder.rglob("*"):
                _sync(path)
            _sync(folder)
            if target.exists():
                target.rename(Path(scratch) / "old")
            folder.rename(target)
            _sync(target.parent)


def remove_scratch(folder: Path, name: str) -> None:
    """Deletes the scratch folders of killed processes that wrote `folder / name`.

    `name` may be a glob.
    """
    for path in folder.glob(f".{name}-*"):
        shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _errno(error: BaseException) -> int | None:
    """The system's error number, even if a library hides it in its message."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno
        if match := re.search(r"os error (\d+)", str(cause)):
            return int(match.group(1))
        cause = cause.__cause__ or cause.__context__
    return None
