"""A child that was forked ahead of its command runs it as one that was forked for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxes import Sandbox
from sandboxes.backends import unsafe
from tests.sandboxes.conftest import WAITING_S

SHOW = "import os, random; print(os.getpid(), random.random())"


@pytest.fixture
def plain() -> Iterator[Sandbox]:
    """A sandbox whose processes this test can see and kill."""
    sandbox = unsafe.start()
    time.sleep(WAITING_S)
    yield sandbox
    sandbox.close()


def waiting_children() -> list[int]:
    """Children of the runners that this process has started."""
    return [pid for runner in children(os.getpid()) for pid in children(runner)]


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [
        int(each) for task in tasks for each in (task / "children").read_text().split()
    ]


def printed(sandbox: Sandbox, code: str, cwd: str = ".") -> str:
    result = sandbox.run(["python", "-c", code], timeout_s=20, cwd=cwd)
    assert result.exit_code == 0, result
    return result.stdout.decode()


def test_a_waiting_child_becomes_one_command_and_no_other(plain):
    for _ in range(3):
        time.sleep(WAITING_S)
        [waiting] = waiting_children()
        assert printed(plain, SHOW).split()[0] == str(waiting)


def test_a_command_right_after_another_needs_no_waiting_child(plain):
    pids = [printed(plain, SHOW).split()[0] for _ in range(5)]
    assert len(set(pids)) == 5


def test_a_waiting_child_sees_what_came_after_it(plain):
    plain.write({"folder/module.py": b"value = 1"})
    time.sleep(WAITING_S)
    plain.write({"folder/module.py": b"value = 22", "folder/json.py": b"planted = 1"})
    code = "import json, module, os, time; print(module.value, json.planted, sorted(os.listdir()))"
    before = time.time()
    shown = printed(plain, f"{code}; print(time.time() > {before})", cwd="folder")
    assert shown == "22 1 ['json.py', 'module.py']\nTrue\n"


def test_waiting_children_draw_different_random_numbers(sandbox):
    numbers = set()
    for _ in range(5):
        time.sleep(WAITING_S)
        numbers.add(printed(sandbox, SHOW).split()[1])
    assert len(numbers) == 5


def test_a_waiting_child_has_the_descriptors_of_a_fresh_python(sandbox):
    code = "import os; print(sorted(os.listdir('/proc/self/fd')), os.getcwd())"
    fresh_path = printed(sandbox, "import sys; print(sys.executable)").strip()
    fresh = sandbox.run([fresh_path, "-c", code], timeout_s=20).stdout.decode()
    time.sleep(WAITING_S)
    assert printed(sandbox, code) == fresh


def test_a_reset_ends_the_waiting_child(plain):
    [before] = waiting_children()
    plain.reset()
    assert before not in waiting_children()
    time.sleep(WAITING_S)
    [after] = waiting_children()
    assert printed(plain, SHOW).split()[0] == str(after)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_waiting_child_that_was_killed_is_replaced(plain, number):
    [waiting] = waiting_children()
    os.kill(waiting, number)
    time.sleep(WAITING_S)
    assert printed(plain, SHOW).split()[0] != str(waiting)
    assert printed(plain, "print(1)") == "1\n"


def test_no_waiting_child_outlives_its_sandbox(plain):
    [waiting] = waiting_children()
    plain.close()
    until = time.monotonic() + 10
    while Path(f"/proc/{waiting}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{waiting}").exists()


def test_a_command_never_meets_a_waiting_child(jail):
    code = (
        "import os, time; time.sleep(0.1)\n"
        "own = {1, os.getpid()}\n"
        "names = {int(name) for name in os.listdir('/proc') if name.isdigit()} - own\n"
        "lines = [open(f'/proc/{pid}/cmdline').read() for pid in names]\n"
        "print([line for line in lines if 'start.main' in line])"
    )
    for _ in range(3):
        assert printed(jail, code) == "[]\n"
