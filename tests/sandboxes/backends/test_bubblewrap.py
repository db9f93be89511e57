"""What hostile code tries in a bubblewrap sandbox, and that it gets nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sandboxes import ExecResult, Sandbox, SandboxConfig, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.backends import identities
from sandboxes.inside.settings import START, hidden_modules
from sandboxes.limits import compose_limits

pytestmark = pytest.mark.skipif(
    bool(local.available()), reason=f"local: {local.available()}"
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with (
        open_pool(SandboxConfig(backend="local", size=1)) as pool,
        pool.lease() as leased,
    ):
        yield leased


def python(sandbox: Sandbox, code: str, timeout_s: float = 30.0) -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=timeout_s)


def printed(sandbox: Sandbox, code: str) -> str:
    done = python(sandbox, code)
    assert done.exit_code == 0, done
    return done.stdout.decode().strip()


SOCKETS = """
import socket
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_VSOCK, socket.AF_NETLINK,
               socket.AF_PACKET, socket.AF_ALG):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            print(socket.socket(family, kind))
        except OSError:
            pass
"""


def test_there_is_no_network(sandbox):
    assert printed(sandbox, "print(open('/proc/net/dev').read().count(':'))") == "1"
    assert printed(sandbox, SOCKETS) == ""


def test_the_kernel_knows_the_sandbox_as_an_ordinary_user(sandbox):
    inside = set()
    for pid in descendants(os.getpid()):
        with (
            open(f"/proc/{pid}/cmdline") as command,
            open(f"/proc/{pid}/status") as status,
        ):
            if command.read().startswith(f"/usr/bin/python3\0-c\0{START}\0"):
                inside |= {line for line in status if line.startswith("Uid:")}
    (line,) = inside
    (uid,) = set(map(int, line.split()[1:]))
    first = compose_limits().uid
    assert uid == os.geteuid() or first < uid <= first + identities.MAX_IDS
    printed(sandbox, f"import os; assert os.getuid() == {compose_limits().uid}")
    held = printed(
        sandbox, "print([l for l in open('/proc/self/status') if l.startswith('Cap')])"
    )
    assert held.count("0000000000000000") == 5


def test_nothing_but_its_own_folders_can_be_written(sandbox):
    code = """
import os
for folder, _, names in os.walk('/'):
    if folder.startswith('/proc'):
        continue
    if os.access(folder, os.W_OK):
        print(folder)
"""
    assert set(printed(sandbox, code).split()) == set(compose_limits().folders_mib)
    for path in (
        "/dev/pts/x",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
    ):
        assert python(sandbox, f"open({path!r}, 'w')").exit_code == 1


def test_nothing_of_this_machine_can_be_read(sandbox):
    for path in (
        __file__,
        "/etc/shadow",
        "/root/.bashrc",
        sys.prefix,
        "/var/run/docker.sock",
    ):
        assert (
            printed(sandbox, f"import os; print(os.path.exists({path!r}))") == "False"
        )


def test_no_new_namespace_or_mount(sandbox):
    libc = "import ctypes; libc = ctypes.CDLL(None); "
    for flag in (0x10000000, 0x20000, 0x40000000):
        assert printed(sandbox, f"{libc}print(libc.unshare({flag}))") == "-1"
    assert (
        printed(sandbox, f"{libc}print(libc.mount(b'x', b'/work', b'tmpfs', 0, 0))")
        == "-1"
    )


TOUCH_THE_RUNNER = """
import os
for name in ('mem', 'environ', 'maps', 'cwd'):
    try:
        open('/proc/1/' + name, 'rb').read(1)
        print('read', name)
    except OSError:
        pass
try:
    print(os.listdir('/proc/1/fd'))
except OSError:
    pass
for number in range(1, 32):
    os.kill(1, number)
"""


def test_the_runner_cannot_be_read_or_killed(sandbox):
    assert printed(sandbox, TOUCH_THE_RUNNER) == ""
    assert printed(sandbox, "print('alive')") == "alive"


def test_a_fork_bomb_stops_at_the_limit_and_dies(sandbox):
    code = """
import os, time
count = 0
try:
    while True:
        if not os.fork():
            time.sleep(60)
        count += 1
except OSError:
    print(count)
"""
    assert 10 < int(printed(sandbox, code)) <= compose_limits().pids
    done = python(
        sandbox, "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", 1.5
    )
    assert done.timed_out
    assert (
        printed(
            sandbox, "import os; print(sum(n.isdigit() for n in os.listdir('/proc')))"
        )
        == "2"
    )


def test_memory_and_disk_end(sandbox):
    limits = compose_limits()
    code = f"bytearray({2 * limits.memory_mib} << 20)"
    assert b"MemoryError" in python(sandbox, code).stderr
    fill = (
        f"for n in range(20): open(str(n), 'wb').write(bytes({limits.fsize_mib} << 20))"
    )
    assert b"No space left" in python(sandbox, fill).stderr
    sandbox.reset()
    code = f"open('x', 'wb').truncate(({limits.fsize_mib} << 20) + 1)"
    assert b"File too large" in python(sandbox, code).stderr


@pytest.mark.parametrize("program", ["python", "python3"])
def test_hidden_modules_are_nowhere(sandbox, program):
    for name in hidden_modules():
        done = sandbox.run([program, "-c", f"import {name}"], timeout_s=20)
        assert b"ModuleNotFoundError" in done.stderr
    code = (
        f"import os; hidden = {hidden_modules()}\n"
        "hits = {d + '/' + n for d, _, names in os.walk('/') for n in names"
        " if n.split('.')[0] in hidden}\n"
        "print(*hits, sep='\\n')"
    )
    paths = printed(sandbox, code).split()
    # Other things of these names: the kernel's files, and a module of a package that stays.
    others = [
        path for path in paths if path.startswith("/proc/") or "/distutils/" in path
    ]
    assert paths == others


OWNER = """
import sys
from sandboxes import SandboxConfig, open_pool
pool = open_pool(SandboxConfig(backend="local", size=2))
sandbox = pool.lease()
print(pool.lease().run(["python", "-c", "print('ready')"], timeout_s=20).stdout, flush=True)
code = "import os, time; os.fork(); os.fork(); time.sleep(300)"
sandbox.run(["python", "-c", code], timeout_s=400)
"""


def descendants(pid: int) -> set[int]:
    """Processes below one, as ids on this machine."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, fresh = set(), {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh}
        found |= fresh
    return found


def is_alive(pid: int) -> bool:
    """Whether it is there and not dead: when those are reaped is up to the machine's init."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_everything_dies_with_an_owner_that_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert b"ready" in owner.stdout.readline()
        until = time.monotonic() + 20
        while len(below := descendants(owner.pid)) < 6 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(below) >= 6
        owner.kill()
    until = time.monotonic() + 30
    while (alive := [p for p in below if is_alive(p)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert alive == []


def test_a_command_cannot_change_the_runner_or_other_processes(sandbox):
    code = """
import os, resource
actions = {
    'limit': lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (4, 4)),
    'priority': lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
    'cores': lambda: os.sched_setaffinity(1, [0]),
    'schedule': lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
}
for name, action in actions.items():
    try:
        action()
        print(name)
    except PermissionError:
        pass
print(resource.prlimit(0, resource.RLIMIT_CORE, (0, 0)))
"""
    assert printed(sandbox, code) == "(0, 0)"


def test_a_full_sandbox_says_so_and_takes_files_again_after_a_reset(sandbox):
    python(
        sandbox, "n = 0\nwhile True: open(str(n), 'wb').write(bytes(1 << 20)); n += 1"
    )
    with pytest.raises(OSError, match="No space left"):
        sandbox.write({"new": b"x" * 5000})
    sandbox.reset()
    sandbox.write({"new": b"x" * 5000})
