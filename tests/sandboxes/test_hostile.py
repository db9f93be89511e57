"""What hostile code tries in a container, and that it gets nowhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from sandboxes import (
    ExecResult,
    Isolation,
    Sandbox,
    SandboxConfig,
    SandboxPool,
    open_pool,
)
from sandboxes.backends import identities
from sandboxes.limits import compose_limits, compose_service

pytestmark = pytest.mark.docker
HIDDEN = Path("sandboxes/inside/hidden_modules.txt").resolve()
WORK = next(iter(compose_limits().folders_mib))


def inodes() -> int:
    """Files and folders that the working folder may hold."""
    mounts = dict(mount.split(":", 1) for mount in compose_service()["tmpfs"])
    options = dict(part.partition("=")[::2] for part in mounts[WORK].split(","))
    return int(options["nr_inodes"])


@pytest.fixture(scope="module")
def pool(client: docker.DockerClient) -> Iterator[SandboxPool]:
    """One container, so that a second lease meets what the first one left."""
    with open_pool(SandboxConfig(backend="docker", size=1)) as opened:
        yield opened


@pytest.fixture
def sandbox(pool: SandboxPool) -> Iterator[Sandbox]:
    with pool.lease() as leased:
        yield leased


def python(sandbox: Sandbox, code: str, timeout_s: float = 20.0) -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=timeout_s)


def printed(sandbox: Sandbox, code: str, timeout_s: float = 20.0) -> str:
    """What the code prints; it has to end well."""
    done = python(sandbox, code, timeout_s)
    assert done.exit_code == 0, done
    return done.stdout.decode().strip()


def test_the_sandbox_is_a_container(sandbox):
    assert sandbox.isolation is Isolation.CONTAINER


def test_loopback_is_the_only_interface(sandbox):
    assert printed(sandbox, "import os; print(*os.listdir('/sys/class/net'))") == "lo"


SOCKETS = """
import socket
opened = []
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_VSOCK, socket.AF_NETLINK,
               socket.AF_PACKET, socket.AF_ALG):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind).close()
        except OSError:
            continue
        opened.append((family.name, kind.name))
print(opened)
"""


def test_no_socket_but_a_local_one_can_be_made(sandbox):
    assert printed(sandbox, SOCKETS) == "[]"
    assert printed(
        sandbox,
        "import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))",
    )


IO_URING = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(425, 1, ctypes.create_string_buffer(256)), os.strerror(ctypes.get_errno()))
"""


def test_no_ring_that_carries_out_system_calls_unseen(sandbox):
    assert printed(sandbox, IO_URING) == "-1 Operation not permitted"


WRITABLE = """
import os
found = []
for folder, _, _ in os.walk("/"):
    if folder.startswith("/proc/"):
        continue
    try:
        os.close(os.open(os.path.join(folder, "planted"), os.O_CREAT | os.O_WRONLY))
    except OSError:
        continue
    found.append(folder)
print(*found)
"""


def mounts(sandbox: Sandbox) -> dict[str, tuple[str, set[str]]]:
    """Mount point -> type of its file system and names of its options."""
    lines = printed(sandbox, "print(open('/proc/mounts').read())").splitlines()
    return {
        point: (kind, {option.partition("=")[0] for option in options.split(",")})
        for _, point, kind, options, *_ in map(str.split, lines)
    }


def test_only_limited_and_wiped_folders_can_be_written(pool):
    with pool.lease() as sandbox:
        found = mounts(sandbox)
        folders = printed(sandbox, WRITABLE).split()
    assert WORK in folders
    for folder in folders:
        kind, options = found[folder]
        assert kind == "tmpfs"
        assert {"size", "nr_inodes"} <= options
    with pool.lease() as sandbox:
        left = printed(
            sandbox, f"import os; print(*sum(map(os.listdir, {folders!r}), []))"
        )
    assert left == ""


SYSTEM_V = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.shmget(1, 4096, 0o1600), libc.msgget(1, 0o1600), libc.semget(1, 1, 0o1600),
      libc.mq_open(b"/planted", os.O_CREAT | os.O_RDWR, 0o600, None))
"""


def test_no_memory_or_queue_that_outlives_its_process(sandbox):
    assert printed(sandbox, SYSTEM_V) == "-1 -1 -1 -1"


def test_the_root_is_mounted_read_only(sandbox):
    found = mounts(sandbox)
    for point in ("/", "/sys", "/proc/sys"):
        assert "ro" in found[point][1], point


KERNEL_FILES = """
import os
opened = []
for top in ("/proc/sys", "/sys"):
    for folder, _, names in os.walk(top):
        for name in names:
            try:
                os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                continue
            opened.append(os.path.join(folder, name))
for path in ("/proc/sysrq-trigger", "/proc/kcore", "/proc/1/oom_score_adj", "/dev/mem"):
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError:
        continue
    opened.append(path)
print(opened)
"""


def test_no_setting_of_the_kernel_can_be_opened_for_writing(sandbox):
    assert printed(sandbox, KERNEL_FILES, timeout_s=60) == "[]"


FORKS = """
import os, time
count = 0
try:
    while count < 1000:
        if not os.fork():
            time.sleep(60)
            os._exit(0)
        count += 1
except OSError:
    pass
print(count)
"""


def test_a_fork_bomb_stops_at_the_limit_and_is_gone_afterwards(sandbox):
    assert 0 < int(printed(sandbox, FORKS)) < compose_limits().pids
    assert printed(sandbox, "print('well')") == "well"


def test_a_fork_bomb_that_never_ends_dies_at_the_deadline(sandbox):
    code = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
    done = python(sandbox, code, timeout_s=2)
    assert done.timed_out
    assert done.exit_code is None
    assert printed(sandbox, "print('well')") == "well"


def test_a_memory_bomb_kills_itself_alone(sandbox):
    done = python(
        sandbox, "held = []\nwhile True: held.append(bytearray(1 << 24))", timeout_s=60
    )
    assert done.exit_code in (-9, 1)
    assert not done.timed_out
    assert printed(sandbox, "print('well')") == "well"


MANY = """
import os, time
ended = []
for _ in range(8):
    if not os.fork():
        held = bytearray({size} << 20)
        time.sleep(2)
        os._exit(0)
print(sum(os.waitstatus_to_exitcode(os.wait()[1]) == 0 for _ in range(8)))
"""


def test_eight_processes_share_the_memory_of_one(sandbox):
    size = compose_limits().memory_mib // 4
    done = python(sandbox, MANY.format(size=size), timeout_s=60)
    assert done.exit_code == -9 or int(done.stdout) < 4
    assert printed(sandbox, "print('well')") == "well"


FILL = """
import os
total = 0
try:
    for number in range(1000):
        with open(f"{number}", "wb", buffering=0) as file:
            for _ in range(16):
                total += file.write(bytes(1 << 20))
except OSError as error:
    print(total >> 20, error.errno)
"""


def test_the_disk_ends_at_its_size(sandbox):
    full, errno = map(int, printed(sandbox, FILL, timeout_s=60).split())
    assert errno == 28
    assert full <= compose_limits().folders_mib[WORK]
    sandbox.reset()
    sandbox.write({"after": b"well"})
    assert sandbox.read("after") == b"well"


def test_the_disk_ends_at_its_number_of_files(sandbox):
    code = (
        "import os\n"
        "try:\n"
        "    for count in range(100_000): os.close(os.open(str(count), os.O_CREAT))\n"
        "except OSError as error: print(count, error.errno)"
    )
    count, errno = map(int, printed(sandbox, code, timeout_s=60).split())
    assert errno == 28
    assert count < inodes()
    sandbox.reset()
    assert printed(sandbox, "import os; print(os.listdir())") == "[]"


def test_one_file_ends_at_its_size(sandbox):
    limit = compose_limits().fsize_mib
    code = (
        "file = open('big', 'wb', buffering=0)\ntotal = 0\n"
        "try:\n    while True: total += file.write(bytes(1 << 20))\n"
        "except OSError as error: print(total >> 20, error.errno)"
    )
    assert printed(sandbox, code) == f"{limit} 27"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_is_cut_and_ends_the_command(sandbox, stream):
    code = f"import sys\nwhile True: sys.{stream}.write('x' * 65536)"
    begun = time.monotonic()
    done = python(sandbox, code, timeout_s=30)
    assert done.truncated
    assert not done.timed_out
    assert len(getattr(done, stream)) == 64 * 1024
    assert time.monotonic() - begun < 10


STUBBORN = """
import os, signal, time
for number in range(1, signal.NSIG):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for _ in range(3):
    if not os.fork():
        os.setsid()
        while True:
            open("beat", "a").write(".")
            time.sleep(0.02)
{end}
"""
PROCESSES = """
import os
print(sum(
    os.stat(f"/proc/{pid}").st_uid == os.getuid() for pid in os.listdir("/proc") if pid.isdigit()
))
"""


@pytest.mark.parametrize("end", ["time.sleep(60)", "time.sleep(0.3); os._exit(0)"])
def test_children_in_sessions_of_their_own_die_with_the_command(sandbox, end):
    begun = time.monotonic()
    done = python(sandbox, STUBBORN.format(end=end), timeout_s=1)
    assert time.monotonic() - begun < 5
    assert done.timed_out == ("60" in end)
    beats = sandbox.read("beat")
    assert beats
    time.sleep(0.3)
    assert sandbox.read("beat") == beats
    assert printed(sandbox, PROCESSES) == "1"


def test_links_lead_nowhere(sandbox):
    code = (
        "import os\n"
        "os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'folder'); os.mkfifo('pipe')\n"
        "os.symlink('/proc/1/environ', 'environ')"
    )
    printed(sandbox, code)
    for path in ("link", "folder/passwd", "pipe", "environ", "nothing", "folder"):
        with pytest.raises(FileNotFoundError):
            sandbox.read(path)
    sandbox.write({"link": b"mine", "pipe": b"mine"})
    assert sandbox.read("link") == b"mine"
    assert sandbox.read("pipe") == b"mine"


def test_a_linked_folder_is_not_written_through(sandbox):
    printed(sandbox, "import os; os.mkdir('real'); os.symlink('real', 'folder')")
    sandbox.write({"folder/planted": b"x"})
    assert printed(sandbox, "import os; print(os.listdir('real'))") == "[]"


@pytest.mark.parametrize("path", ["/etc/planted", "../planted", "a/../../planted", ""])
def test_paths_out_of_the_working_folder_are_refused(sandbox, path):
    with pytest.raises(ValueError, match="path"):
        sandbox.write({path: b""})


def test_nothing_of_a_lease_is_left_for_the_next(pool):
    with pool.lease() as sandbox:
        sandbox.write({"secret/deep/file": b"secret", "plain": b"secret"})
        printed(sandbox, "import os; os.chmod('secret/deep', 0); os.chmod('secret', 0)")
    with pool.lease() as sandbox:
        assert printed(sandbox, "import os; print(os.listdir())") == "[]"
        assert printed(sandbox, PROCESSES) == "1"
        with pytest.raises(FileNotFoundError):
            sandbox.read("plain")


def test_a_tree_of_three_thousand_folders_is_wiped(sandbox):
    code = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')\nos.chmod('.', 0)"
    printed(sandbox, code)
    sandbox.reset()
    assert printed(sandbox, "import os; print(os.listdir())") == "[]"


RUNNER = """
import ctypes, os, signal
done = []
def attempt(name, action):
    try:
        action()
    except OSError:
        return
    done.append(name)
for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP):
    attempt(f"signal {number}", lambda: os.kill(1, number))
for name in ("environ", "mem", "maps", "auxv", "stack", "syscall"):
    attempt(name, lambda: open(f"/proc/1/{name}", "rb").read(1))
for name in ("root", "cwd", "exe", "fd/0"):
    attempt(name, lambda: os.readlink(f"/proc/1/{name}"))
attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, 1, 0, 0) == 0:
    done.append("ptrace")
print(done, os.stat("/proc/1").st_uid == os.getuid())
"""


def test_the_runner_cannot_be_killed_stopped_traced_or_read(sandbox):
    assert printed(sandbox, RUNNER) == "[] False"
    assert printed(sandbox, "print('well')") == "well"


def test_a_command_holds_no_power(sandbox):
    status = dict(
        line.split(":", 1)
        for line in printed(sandbox, "print(open('/proc/self/status').read())").split(
            "\n"
        )
    )
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    (uid,) = set(status["Uid"].split())
    assert set(status["Gid"].split()) == {uid}
    assert status["Groups"].strip() in ("", uid)
    first = compose_limits().uid
    assert first < int(uid) <= first + identities.MAX_IDS


NAMESPACES = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
flags = {"user": 0x10000000, "mount": 0x20000, "network": 0x40000000, "pid": 0x20000000}
print([name for name, flag in flags.items() if libc.unshare(flag) == 0],
      libc.mount(b"none", b".", b"tmpfs", 0, None), libc.chroot(b"."),
      libc.setuid(0))
"""


def test_no_namespace_mount_or_other_user_can_be_had(sandbox):
    assert printed(sandbox, NAMESPACES) == "[] -1 -1 -1"


SOCKET_FILES = """
import os, socket, stat
found = []
for folder, _, names in os.walk("/"):
    for name in names:
        path = os.path.join(folder, name)
        try:
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                socket.socket(socket.AF_UNIX).connect(path)
                found.append(path)
        except OSError:
            if "docker" in name:
                found.append(path)
print(found, os.path.exists("/var/run/docker.sock"), os.path.exists("/run/docker.sock"))
"""


def test_no_socket_of_the_engine_or_of_the_runner_is_in_reach(sandbox):
    assert printed(sandbox, SOCKET_FILES, timeout_s=60) == "[] False False"


def test_no_program_changes_its_user(sandbox):
    code = (
        "import os\n"
        "for folder, _, names in os.walk('/'):\n"
        "    for name in names if not folder.startswith(('/proc', '/sys')) else ():\n"
        "        if os.lstat(os.path.join(folder, name)).st_mode & 0o6000: print(folder, name)"
    )
    assert printed(sandbox, code) == ""


FIND = """
import os, sys
for folder, _, names in os.walk("/"):
    # A module of a package that stays may have the name of a hidden one.
    if not folder.startswith(("/proc", "/sys")) and "/distutils" not in folder:
        for name in names:
            if name.partition(".")[0] in {hidden!r} and name.endswith((".py", ".pyc", ".so")):
                print(os.path.join(folder, name))
"""


@pytest.mark.parametrize("program", ["python", "python3"])
def test_hidden_modules_are_nowhere(sandbox, program):
    hidden = HIDDEN.read_text().split()
    assert hidden
    for name in hidden:
        done = sandbox.run([program, "-c", f"import {name}"], timeout_s=20)
        assert done.exit_code == 1, done
        assert f"No module named '{name}'".encode() in done.stderr
    assert printed(sandbox, FIND.format(hidden=hidden)) == ""
    assert (
        printed(
            sandbox, f"import sys; print([n for n in {hidden!r} if n in sys.modules])"
        )
        == "[]"
    )


def test_tests_run_inside(sandbox):
    test = b"import unittest\nclass T(unittest.TestCase):\n    def test(self): self.fail()\n"
    sandbox.write({"tests/test_it.py": test, "tests/__init__.py": b""})
    for program in ("python", "python3"):
        done = sandbox.run(
            [program, "-m", "unittest", "-v", "tests.test_it"], timeout_s=20
        )
        assert done.exit_code == 1, done
        assert b"FAILED (failures=1)" in done.stderr


def test_nothing_of_this_machine_shows(sandbox):
    names = printed(sandbox, "import os; print(dict(os.environ))")
    assert os.uname().nodename not in names
    assert str(Path.home()) not in names
    for name in os.environ:
        if name not in (
            "PATH",
            "HOME",
            "LANG",
            "TZ",
            "LC_CTYPE",
        ) and not name.startswith("PYTHON"):
            assert f"'{name}'" not in names
