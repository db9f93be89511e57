"""Folders that exist whole or not at all, and disk faults in words that say what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["DiskError", "disk_errors_explained", "atomic_folder", "remove_scratch"]

ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, or choose a folder on another disk",
    errno.EDQUOT: "the disk quota is spent: free some space, or choose a folder on another disk",
    errno.EROFS: "the disk is read-only: choose a folder that can be written",
    errno.EACCES: "permission denied: choose a folder that you may write",
    errno.EPERM: "permission denied: choose a folder that you may write",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EIO: "the disk reports a hardware fault: choose a folder on another disk",
}


class DiskError(RuntimeError):
    """The disk did not take what was written; the message names the path and the way out."""


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


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A scratch folder beside `target` that takes its place in one step when the block succeeds.

    Everything in it is on the disk by then. After any failure `target` is what it was before.
    Raises DiskError where the disk is full or cannot be written.
    """
    with disk_errors_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.name}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as scratch:
            folder = Path(scratch) / "new"
            folder.mkdir()
            yield folder
            for path in folder.rglob("*"):
                _sync(path)
            _sync(folder)
            if target.exists():
                target.rename(Path(scratch) / "old")
            folder.rename(target)
            _sync(target.parent)


def remove_scratch(folder: Path, name: str) -> None:
    """Deletes what a killed process left of `atomic_folder(folder / name)`; `name` may be a glob."""
    for left in folder.glob(f".{name}-*"):
        shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _errno(error: BaseException) -> int | None:
    """The system's error number, also where a library hides it in its message."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno is not None:
            return seen.errno
        if found := re.search(r"os error (\d+)", str(seen)):
            return int(found.group(1))
        seen = seen.__cause__ or seen.__context__
    return None
