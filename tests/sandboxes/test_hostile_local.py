"""What hostile code could do to its neighbours, its successors and its runner under bubblewrap."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sandboxes import (
    ExecResult,
    Isolation,
    Sandbox,
    SandboxConfig,
    SandboxPool,
    open_pool,
)
from sandboxes.backends import bubblewrap as local
from sandboxes.inside.settings import hidden_modules
from sandboxes.limits import compose_limits

pytestmark = pytest.mark.skipif(
    bool(local.available()), reason=f"local: {local.available()}"
)


@pytest.fixture(scope="module")
def two() -> Iterator[SandboxPool]:
    with open_pool(SandboxConfig(backend="local", size=2)) as pool:
        yield pool


@pytest.fixture
def sandbox(two: SandboxPool) -> Iterator[Sandbox]:
    with two.lease() as leased:
        yield leased


def python(sandbox: Sandbox, code: str, timeout_s: float = 30.0) -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=timeout_s)


def printed(sandbox: Sandbox, code: str) -> str:
    """What the code prints; it has to end well."""
    done = python(sandbox, code)
    assert done.exit_code == 0, done
    return done.stdout.decode().strip()


def test_the_sandbox_is_of_namespaces(sandbox):
    assert sandbox.isolation is Isolation.NAMESPACE


# The runner has the commands' own user here, so no difference of users guards it.
PRESS = """
import ctypes, os, resource
libc = ctypes.CDLL(None, use_errno=True)
done = []
def attempt(name, action):
    try:
        action()
    except OSError:
        return
    done.append(name)
for name in ("NOFILE", "AS", "FSIZE", "NPROC", "CPU", "STACK"):
    number = getattr(resource, "RLIMIT_" + name)
    attempt(name, lambda: resource.prlimit(1, number, (1, 1)))
attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))
attempt("priority of all", lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19))
attempt("affinity", lambda: os.sched_setaffinity(1, os.sched_getaffinity(1)))
attempt("scheduler", lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)))
ioprio_set = {"x86_64": 251, "aarch64": 30}[os.uname().machine]
if libc.syscall(ioprio_set, 1, 1, 3 << 13) == 0:
    done.append("disk priority")
attempt("oom score", lambda: open("/proc/1/oom_score_adj", "w").write("1000"))
print(done)
"""


def test_a_command_sets_no_limit_of_its_runner(sandbox):
    assert printed(sandbox, PRESS) == "[]"
    assert printed(sandbox, "print('well')") == "well"


def test_a_command_may_lower_its_own_limits(sandbox):
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_CPU, (5, 5)); "
        "print(r.getrlimit(r.RLIMIT_CPU))"
    )
    assert printed(sandbox, code) == "(5, 5)"


BOMB = """
import os, time
while True:
    try:
        if not os.fork():
            time.sleep(60)
    except OSError:
        open("full", "w").close()
        time.sleep(0.01)
"""


def test_a_fork_bomb_takes_no_process_from_its_neighbour(two):
    with two.lease() as bad, two.lease() as good:
        bomb = threading.Thread(target=python, args=(bad, BOMB, 4))
        bomb.start()
        time.sleep(1.5)
        forks = compose_limits().pids // 2
        code = (
            f"import os, time\nfor _ in range({forks}):\n"
            "    if not os.fork(): time.sleep(0.5); os._exit(0)\n"
            f"print(sum(os.wait()[1] == 0 for _ in range({forks})))"
        )
        assert printed(good, code) == str(forks)
        bomb.join()
        assert bad.read("full") == b""
        assert printed(bad, "print('well')") == "well"


LISTEN = """
import socket, time
door = socket.socket(socket.AF_UNIX)
door.bind("\\0meet")
door.listen()
open("listening", "w").close()
time.sleep(2)
"""
KNOCK = "import socket; socket.socket(socket.AF_UNIX).connect('\\0meet')"
COUNT = "import os; print(sum(name.isdigit() for name in os.listdir('/proc')))"


def test_neighbours_see_neither_processes_nor_sockets_of_each_other(two):
    with two.lease() as one, two.lease() as other:
        listening = threading.Thread(target=python, args=(one, LISTEN))
        listening.start()
        time.sleep(1)
        assert b"ConnectionRefusedError" in python(other, KNOCK).stderr
        assert printed(other, COUNT) == "2"
        listening.join()
        assert one.read("listening") == b""


OUTLIVES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
add_key = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
print(libc.shmget(1, 4096, 0o1600), libc.msgget(1, 0o1600), libc.semget(1, 1, 0o1600),
      libc.mq_open(b"/planted", os.O_CREAT | os.O_RDWR, 0o600, None),
      libc.syscall(425, 1, ctypes.create_string_buffer(256)),
      libc.syscall(add_key, b"user", b"planted", b"x", 1, -4))
"""


def test_no_memory_queue_key_or_ring_that_outlives_its_process(sandbox):
    assert printed(sandbox, OUTLIVES) == "-1 -1 -1 -1 -1 -1"


PLANT = """
import os
made = []
for folder, _, _ in os.walk("/"):
    if not folder.startswith("/proc/"):
        try:
            os.close(os.open(os.path.join(folder, ".planted"), os.O_CREAT | os.O_WRONLY))
        except OSError:
            continue
        made.append(folder)
print(*made)
"""
LOOK = """
import os
print(*[folder for folder, _, names in os.walk("/") if ".planted" in names])
"""


def test_nothing_planted_anywhere_is_there_in_the_next_lease(two):
    folders = set(compose_limits().folders_mib)
    with ExitStack() as leases:
        sandboxes = [leases.enter_context(two.lease()) for _ in range(2)]
        assert [set(printed(sandbox, PLANT).split()) for sandbox in sandboxes] == [
            folders,
            folders,
        ]
        assert set(printed(sandboxes[0], LOOK).split()) == folders
    with two.lease() as sandbox:
        assert printed(sandbox, LOOK) == ""


KERNEL_FILES = """
import os
opened = []
for folder, _, names in os.walk("/proc/sys"):
    for name in names:
        try:
            os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            continue
        opened.append(os.path.join(folder, name))
for path in ("/proc/sysrq-trigger", "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/tty"):
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError:
        continue
    opened.append(path)
print(opened, os.path.exists("/sys/kernel"))
"""


def test_no_setting_of_the_kernel_can_be_opened_for_writing(sandbox):
    assert printed(sandbox, KERNEL_FILES) == "[] False"


def test_a_hidden_module_is_found_where_a_task_brings_it(sandbox):
    name = hidden_modules()[0]
    missing = python(sandbox, f"import {name}")
    assert missing.exit_code == 1
    assert f"ModuleNotFoundError: No module named '{name}'".encode() in missing.stderr
    sandbox.write({f"{name}.py": b"MINE = 7\n"})
    assert printed(sandbox, f"import {name}; print({name}.MINE)") == "7"


def test_a_command_holds_no_descriptor_of_its_runner(sandbox):
    code = (
        "import os; print(*sorted(int(name) for name in os.listdir('/proc/self/fd')))"
    )
    # 3 is the listing's own.
    assert printed(sandbox, code) == "0 1 2 3"
    assert (
        printed(
            sandbox,
            "import os; print(os.readlink('/proc/self/fd/0').partition(':')[0])",
        )
        == "pipe"
    )
