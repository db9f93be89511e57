"""One writer: what a process writes to, no other writes to while that process lives.

A run or an evaluation is refused to the others; for what many runs share, they wait.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from scgrpo.runs.disk import disk_errors_explained

__all__ = ["LOCK", "Hold", "in_turn", "only_writer"]

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a disk answers that cannot lock files."""
NAME_WITHIN_S = 2.0
"""A process that holds a folder has written its name by then."""
POLL_S = 0.02

logger = logging.getLogger(__name__)


@dataclass
class Hold:
    """A folder that this process holds; who renames it says so by setting `folder`."""

    folder: Path


@contextmanager
def only_writer(folder: Path, advice: str) -> Iterator[Hold]:
    """Holds the folder for the block; it is made if there is none.

    The lock is the operating system's, so that of a process that died holds nothing. Raises
    ValueError that names the process that holds the folder; `advice` says what to do then.
    """
    # The library would take the file's mere existence for a lock, which outlives its process.
    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    with disk_errors_explained(folder), ExitStack() as undo:
        if not folder.exists():
            undo.callback(_remove_if_empty, folder)
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder, advice)
        hold = Hold(folder)
        undo.callback(_release, lock, hold)
        _write_holder(folder / LOCK)
        undo = undo.pop_all()
    with undo:
        yield hold


@contextmanager
def in_turn(path: Path, work: str) -> Iterator[None]:
    """Runs the block once no other process is in one of the same file; a log line names `work`.

    Raises DiskError if the file cannot be made.
    """
    lock = FileLock(path, fallback_to_soft=False)
    with disk_errors_explained(path), ExitStack() as undo:
        if not path.parent.exists():
            undo.callback(_remove_if_empty, path.parent)
        _wait_for(lock, path, work)
        undo.callback(_unlink_and_release, lock, path)
        _write_holder(path)
        undo = undo.pop_all()
    with undo:
        yield


def _wait_for(lock: FileLock, path: Path, work: str) -> None:
    with _missing_locks_logged(path.parent):
        while not lock.is_locked:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever made the folder and left nothing there takes it away again.
            with suppress(FileNotFoundError):
                _acquire_or_wait(lock, path, work)


def _acquire_or_wait(lock: FileLock, path: Path, work: str) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("%s: waiting for %s, which makes it", work, _holder(path))
        lock.acquire()


def _acquire(lock: FileLock, folder: Path, advice: str) -> None:
    with _missing_locks_logged(folder):
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            holder = _holder(folder / LOCK)
            raise ValueError(f"{folder} is in use by {holder}; {advice}") from error


@contextmanager
def _missing_locks_logged(folder: Path) -> Iterator[None]:
    """Goes on without a lock, and says so, on a disk that has none."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        logger.warning(
            "the disk of %s has no locks: let no second process write there", folder
        )


def _release(lock: FileLock, hold: Hold) -> None:
    _unlink_and_release(lock, hold.folder / LOCK)


def _unlink_and_release(lock: FileLock, path: Path) -> None:
    # Whoever has opened this file meanwhile sees that it is not the folder's any more.
    with suppress(OSError):
        path.unlink()
    lock.release()


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _write_holder(path: Path) -> None:
    text = json.dumps(_this_process())
    path.write_text(text + "\n")


def _this_process() -> dict[str, str | int]:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": os.getpid(), "host": platform.node(), "since": now}


def _holder(path: Path) -> str:
    """The process that holds a lock, in words."""
    # It locks first and writes its name then; what stands there meanwhile is a dead one's.
    deadline = time.monotonic() + NAME_WITHIN_S
    name, may_live = _name(path)
    while not may_live and time.monotonic() < deadline:
        time.sleep(POLL_S)
        name, may_live = _name(path)
    return name


def _name(path: Path) -> tuple[str, bool]:
    """The process that a lock's file names, in words, and whether it may be alive."""
    try:
        about = json.loads(path.read_text())
        pid, host, since = int(about["pid"]), about["host"], about["since"]
    except (OSError, ValueError, KeyError, TypeError):
        return "another process", False
    # Nobody here knows about processes of another machine.
    may_live = host != platform.node() or _is_alive(pid)
    return f"process {pid} on {host} since {since}", may_live


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
