"""The soak runs, counts what a round leaves, and says so."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxes import SandboxError, soak
from sandboxes.backends import bubblewrap as local
from sandboxes.tools import soak_rounds


@pytest.mark.parametrize(
    "backend",
    # It kills containers, and refuses to where Compose keeps some.
    ["local", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.alone])],
)
def test_rounds_of_every_way_leave_nothing(backend):
    if reason := soak_rounds.skip_reason(backend):
        pytest.skip(reason)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sandboxes.soak",
            "--leases",
            "4",
            "--backends",
            backend,
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{backend}: 4 leases in " in done.stdout
    assert "(1 closed, 1 late, 1 lost, 1 orphaned)" in done.stdout
    assert "Nothing is left." in done.stdout


def test_each_kind_of_leak_is_counted(tmp_path: Path):
    run = soak_rounds.Soak("local", tmp_path)
    before = run.counts()
    with (
        socket.socket(socket.AF_UNIX),
        open(os.devnull),
        subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
        ) as process,
    ):
        (tmp_path / "forgotten").touch()
        after = run.counts()
        process.communicate()
    left_over = {what: after[what] - count for what, count in before.items()}
    assert left_over == {
        "containers": 0,
        "processes": 1,
        "threads": 0,
        "sockets": 1,
        # /dev/null, and this end of the process's input.
        "other open files": 2,
        "temporary files": 1,
    }


def test_a_round_that_goes_wrong_says_so(monkeypatch):
    if reason := local.available():
        pytest.skip(reason)
    monkeypatch.setattr(soak_rounds.Soak, "_kill", lambda self: None)
    monkeypatch.setattr(soak_rounds, "_SLEEP", ["python", "-c", "1"])
    run = soak_rounds.Soak("local", Path("/nowhere"))
    with pytest.raises(SandboxError, match="a killed sandbox answered"):
        run.rounds["lost"]()


def test_processes_of_the_caller_are_neither_killed_nor_counted(tmp_path: Path):
    if reason := local.available():
        pytest.skip(reason)
    idle = [sys.executable, "-c", "input()"]
    with subprocess.Popen(idle, stdin=subprocess.PIPE) as other:
        run = soak_rounds.Soak("local", tmp_path)
        run.rounds["lost"]()
        assert other.poll() is None
        assert run.final_counts()["processes"] == 0
        other.communicate()


def test_a_number_of_leases_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        soak.main(["--leases", "0"])
    assert "expected at least 1" in capsys.readouterr().err
