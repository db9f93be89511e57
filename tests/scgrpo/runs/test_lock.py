"""A folder has one writer, and a dead one holds nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scgrpo.runs.disk import DiskError
from scgrpo.runs.lock import LOCK, only_writer

HOLD = """
import multiprocessing, sys, time
from pathlib import Path
from scgrpo.runs.lock import only_writer

with only_writer(Path(sys.argv[1]), ""):
    if sys.argv[2:]:
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        print(child.pid, flush=True)
    else:
        print("held", flush=True)
    time.sleep(60)
"""

LATE = """
import sys, time
from pathlib import Path
from scgrpo.runs import lock

write_holder = lock._write_holder

def late(folder):
    print("held", flush=True)
    time.sleep(0.5)
    write_holder(folder)

lock._write_holder = late
with lock.only_writer(Path(sys.argv[1]), ""):
    time.sleep(60)
"""


def holder(folder: Path, *extra: str) -> subprocess.Popen[str]:
    """A process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(folder), *extra]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = holder(tmp_path / "run")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_refused_and_told_who_holds_it(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with (
        pytest.raises(
            ValueError,
            match=rf"run is in use by process {process.pid} on \S+ since .*; do X",
        ),
        only_writer(run, "do X"),
    ):
        pass
    # Looking does not take the lock away, nor the name of who has it.
    with pytest.raises(ValueError, match=str(process.pid)), only_writer(run, ""):
        pass


@pytest.mark.parametrize("before", ["", "{", "dead"])
def test_a_process_that_has_only_just_begun_is_told(
    before: str, tmp_path: Path
) -> None:
    """It takes the lock first and writes its name then; a dead one's may stand there."""
    run = tmp_path / "run"
    run.mkdir()
    if before == "dead":
        with subprocess.Popen([sys.executable, "-c", ""]) as dead:
            pass
        about = {"pid": dead.pid, "host": platform.node(), "since": "yesterday"}
        before = json.dumps(about)
    (run / LOCK).write_text(before)
    command = [sys.executable, "-c", LATE, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            with (
                pytest.raises(ValueError, match=f"by process {process.pid} on"),
                only_writer(run, ""),
            ):
                pass
        finally:
            process.kill()


def test_a_process_of_another_machine_is_told_by_its_machine(tmp_path: Path) -> None:
    with only_writer(tmp_path / "run", ""):
        about = {"pid": 2**22 + 1, "host": "elsewhere", "since": "yesterday"}
        (tmp_path / "run" / LOCK).write_text(json.dumps(about))
        with (
            pytest.raises(ValueError, match="on elsewhere since yesterday"),
            only_writer(tmp_path / "run", ""),
        ):
            pass


def test_a_process_that_was_killed_holds_nothing(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run" / LOCK).exists()
    with only_writer(tmp_path / "run", ""):
        assert str(os.getpid()) in (tmp_path / "run" / LOCK).read_text()


def test_a_killed_process_holds_nothing_through_a_child_that_lives(
    tmp_path: Path,
) -> None:
    """A fork has its parent's open files, and an engine's workers may outlive their parent."""
    process = holder(tmp_path / "run", "with a child")
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with (
            pytest.raises(ValueError, match="is in use"),
            only_writer(tmp_path / "run", ""),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with only_writer(tmp_path / "run", ""):
            os.kill(child, 0)
    finally:
        process.kill()
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_in_one_process_too_there_is_one_writer(tmp_path: Path) -> None:
    with (
        only_writer(tmp_path / "run", ""),
        pytest.raises(ValueError, match=f"process {os.getpid()}"),
        only_writer(tmp_path / "run", ""),
    ):
        pass


def test_nothing_is_left_of_a_lock_that_was_given_back(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        with only_writer(tmp_path / name, ""):
            assert (tmp_path / name / LOCK).exists()
    assert list(tmp_path.rglob("*")) == [tmp_path / "old"]


def test_a_folder_that_is_renamed_stays_held(tmp_path: Path) -> None:
    with only_writer(tmp_path / "a", "") as hold:
        hold.folder = (tmp_path / "a").rename(tmp_path / "b")
        with (
            pytest.raises(ValueError, match="b is in use"),
            only_writer(tmp_path / "b", ""),
        ):
            pass
    assert list((tmp_path / "b").iterdir()) == []


def test_a_disk_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DiskError, match="a part of the path is a file"),
        only_writer(tmp_path / "file" / "run", ""),
    ):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_disk_without_locks_nothing_is_held_and_a_line_says_so(
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A file that stands for a lock by being there would hold the run of a dead process."""

    def flock(*_: object) -> None:
        """A file system that knows no locks."""
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / LOCK).write_text("")
    with only_writer(tmp_path, ""):
        assert "has no locks: let no second process write there" in caplog.text
