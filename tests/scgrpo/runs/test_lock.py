"""A folder has one writer, and a dead one holds nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from scgrpo.runs.disk import DiskError
from scgrpo.runs.lock import LOCK, in_turn, only_writer

HOLD = """
import multiprocessing, os, sys, time
from pathlib import Path
from scgrpo.runs.lock import only_writer

def live():
    # By now the child has left what it was forked with.
    print(os.getpid(), flush=True)
    time.sleep(60)

with only_writer(Path(sys.argv[1]), ""):
    if sys.argv[2:]:
        child = multiprocessing.get_context("fork").Process(target=live)
        child.start()
    else:
        print("held", flush=True)
    time.sleep(60)
"""

LATE = """
import sys, time
from pathlib import Path
from scgrpo.runs import lock

write_holder = lock._write_holder

def late(path):
    print("held", flush=True)
    time.sleep(0.5)
    write_holder(path)

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
    with in_turn(tmp_path / "turn", ""):
        assert caplog.text.count("has no locks") == 2


def test_what_many_share_is_made_by_one_at_a_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scgrpo")
    path = tmp_path / "cache" / ".lock"
    events: list[str] = []

    def make(name: str) -> None:
        """What one of two threads does in its turn."""
        with in_turn(path, "model"):
            events.append(f"{name} begins")
            time.sleep(0.2)
            events.append(f"{name} ends")

    with ThreadPoolExecutor() as pool:
        list(pool.map(make, ["a", "b"]))
    first, second = events[0][0], events[2][0]
    assert {first, second} == {"a", "b"}
    assert events[1] == f"{first} ends"
    assert f"model: waiting for process {os.getpid()} on " in caplog.text
    assert not path.exists()


def test_a_folder_made_for_nothing_goes_again_and_stops_no_one_who_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scgrpo")
    path = tmp_path / "cache" / ".lock"

    def take_a_turn() -> None:
        """A second run, which begins while the first is at it."""
        with in_turn(path, "model"):
            pass

    with ThreadPoolExecutor(1) as pool:
        with suppress(KeyError), in_turn(path, "model"):
            second = pool.submit(take_a_turn)
            while "waiting for" not in caplog.text:
                time.sleep(0.01)
            raise KeyError
        second.result(60)
    with pytest.raises(KeyError), in_turn(tmp_path / "new" / ".lock", "model"):
        raise KeyError
    assert not (tmp_path / "new").exists()


def test_a_killed_process_keeps_nobody_waiting(tmp_path: Path) -> None:
    code = "import os, sys\nfrom pathlib import Path\nfrom scgrpo.runs.lock import in_turn\n"
    code += "with in_turn(Path(sys.argv[1]), ''): os._exit(9)"
    path = tmp_path / "lock"
    assert (
        subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    )
    with in_turn(path, ""):
        assert str(os.getpid()) in path.read_text()
