"""Attacks on the kernel, on time, on output and on the wiping, in every sandbox that isolates.

What the attacks on system calls try works in a plain process: that proves the attacks, and shows
what the walls are for.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sandboxes import ExecResult, Sandbox, SandboxConfig, open_pool

START = """
import ctypes, errno, fcntl, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result
NUMBERS = {
    "x86_64": dict(bpf=321, perf=298, fault=323, add_key=248, keyctl=250, kcmp=312, handle=303,
                   aio=206, inotify=294, fanotify=300, move=279, bind=237, policy=238),
    "aarch64": dict(bpf=280, perf=241, fault=282, add_key=217, keyctl=219, kcmp=272, handle=264,
                    aio=0, inotify=26, fanotify=262, move=239, bind=235, policy=237),
}[os.uname().machine]
def call(name, *arguments):
    return check(libc.syscall(NUMBERS.get(name, name), *arguments))
try:
"""
END = """
except OSError as error:
    print(errno.errorcode.get(error.errno))
else:
    print("done")
"""
FREE = {
    "TCP over IPv4": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "UDP over IPv6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "raw IP": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "raw frames": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "vsock": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "kernel crypto": "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
    "io_uring": "call(425, 1, ctypes.create_string_buffer(256))",
    "ptrace": "check(libc.ptrace(0, 0, 0, 0))",
    "user namespace": "check(libc.unshare(0x10000000))",
    "mount namespace": "check(libc.unshare(0x20000))",
    "network namespace": "check(libc.unshare(0x40000000))",
    "process namespace": "check(libc.unshare(0x20000000))",
    "setns": "check(libc.setns(os.open('/proc/self/ns/ipc', os.O_RDONLY), 0))",
    "mount by the new calls": "call(430, b'tmpfs', 0)",
    "copy of a mount": "call(428, -100, b'/', 1)",
    "bpf": "call('bpf', 0, struct.pack('IIIIQQQQ', 2, 4, 4, 1, 0, 0, 0, 0), 48)",
    "perf": "call('perf', struct.pack('IIQ', 1, 112, 0) + bytes(96), 0, -1, -1, 0)",
    "userfaultfd": "call('fault', 0)",
    "a key": "call('add_key', b'user', b'planted', b'x', 1, -2)",
    "a keyring": "call('keyctl', 0, -3, 1)",
    "the kernel's log": "check(libc.klogctl(3, ctypes.create_string_buffer(100), 100))",
    "shared memory": "check(libc.shmctl(check(libc.shmget(0, 4096, 0o1600)), 0, None))",
    "a message queue": "check(libc.msgctl(check(libc.msgget(0, 0o1600)), 0, None))",
    "a semaphore": "check(libc.semctl(check(libc.semget(0, 1, 0o1600)), 0, 0))",
    "memory of a process": (
        "b = ctypes.create_string_buffer(8); v = struct.pack('QQ', ctypes.addressof(b), 8); "
        "check(libc.process_vm_readv(os.getpid(), v, 1, v, 1, 0))"
    ),
    "another root": "os.chroot('.')",
    "user 0": "os.setuid(0)",
    "group 0": "os.setgid(0)",
    "a file of root": "open('f', 'w').close(); os.chown('f', 0, 0)",
    "a device": "os.mknod('device', 0o20600, os.makedev(1, 1)); os.remove('device')",
    "capabilities of a file": (
        "open('f', 'w').close(); "
        "os.setxattr('f', 'security.capability', struct.pack('<5I', 0x02000001, 1, 0, 0, 0))"
    ),
    "an attribute": "os.setxattr('.', 'user.note', b'x'); os.removexattr('.', 'user.note')",
    "an attribute by a descriptor": (
        "fd = os.open('.', os.O_RDONLY); "
        "os.setxattr(fd, 'user.note', b'x'); os.removexattr(fd, 'user.note')"
    ),
    "an attribute by no link": (
        "os.setxattr('.', 'user.note', b'x', follow_symlinks=False); "
        "os.removexattr('.', 'user.note')"
    ),
    "an attribute by the new call": (
        "b = ctypes.create_string_buffer(b'x'); "
        "v = struct.pack('QII', ctypes.addressof(b), 1, 0); "
        "call(463, -100, b'.', 0, b'user.note', v, 16); "
        "os.removexattr('.', 'user.note')"
    ),
    "flags by the new call": "call(469, -100, b'.', struct.pack('QIIII', 0, 0, 0, 0, 0), 24, 0)",
    "a list of rights": (
        "os.setxattr('.', 'system.posix_acl_default', struct.pack('<I', 2) + b''.join("
        "struct.pack('<HHI', tag, 7, 0xFFFFFFFF) for tag in (1, 4, 32))); "
        "os.removexattr('.', 'system.posix_acl_default')"
    ),
    "descriptors over a socket": (
        "a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [0]); "
        "[os.close(fd) for fd in socket.recv_fds(b, 1, 1)[1]]"
    ),
    "contexts for asynchronous work": (
        "made = ctypes.c_ulong(); call('aio', 1, ctypes.byref(made))"
    ),
    "a watch on files": "os.close(call('inotify', 0))",
    "a watch on a mount": "os.close(call('fanotify', 0, 0))",
    "a handle of a file": (
        "call('handle', -100, b'/', struct.pack('Ii', 128, 0) + bytes(128), "
        "ctypes.byref(ctypes.c_int()), 0)"
    ),
    "what processes share": "check(call('kcmp', os.getpid(), os.getpid(), 0, 0, 1))",
    "a descriptor of a process": "os.close(call(438, os.pidfd_open(os.getpid()), 0, 0))",
    "the nodes of its pages": "call('move', 0, 0, None, None, None, 0)",
    "a policy of memory": "call('policy', 0, None, 0)",
    "the priority of others": "os.setpriority(os.PRIO_USER, 0, 0)",
    "the priority of a process by its number": (
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, 0))"
    ),
    "a higher priority": "os.nice(1); os.setpriority(os.PRIO_PROCESS, 0, -1)",
    "its rank when memory ends": "os.open('/proc/self/oom_score_adj', os.O_WRONLY)",
    "its name": "os.open('/proc/self/comm', os.O_WRONLY)",
    "real-time scheduling": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
}
"""Harmless wherever they succeed: nothing but the process that tries is changed."""

HARMFUL = {
    "the clock": "now = __import__('time').time(); __import__('time').clock_settime(0, now)",
    "the host's name": "socket.sethostname('planted')",
    "a mount": "check(libc.mount(b'none', b'.', b'tmpfs', 0, None))",
    "the end of a mount": "check(libc.umount2(b'/proc', 2))",
    "swap": "check(libc.swapoff(b'/dev/none'))",
    "process accounting": "check(libc.acct(b'log'))",
    "a kernel module": "check(libc.init_module(b'', 0, b''))",
    "a file that cannot be removed": (
        "open('f', 'w').close(); "
        "fcntl.ioctl(os.open('f', os.O_RDONLY), 0x40086602, struct.pack('l', 0x10))"
    ),
    "the terminal": "os.open('/dev/tty', os.O_RDWR)",
    "all memory": "os.open('/proc/kcore', os.O_RDONLY)",
    "the magic key": "os.open('/proc/sysrq-trigger', os.O_WRONLY)",
    "the core handler": "os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)",
    "a setting of the network": "os.open('/proc/sys/net/ipv4/ip_forward', os.O_WRONLY)",
    "the limit on namespaces": "os.open('/proc/sys/user/max_user_namespaces', os.O_WRONLY)",
    "the next process id": "os.open('/proc/sys/kernel/ns_last_pid', os.O_WRONLY)",
    "the size of queues": "os.open('/proc/sys/fs/mqueue/msg_max', os.O_WRONLY)",
    "the runner's memory": "os.open('/proc/1/mem', os.O_RDONLY)",
    "the runner's environment": "os.open('/proc/1/environ', os.O_RDONLY)",
    "the runner's files": "os.listdir('/proc/1/fd')",
    "the runner's root": "os.listdir('/proc/1/root')",
    "the runner's rank when memory ends": "os.open('/proc/1/oom_score_adj', os.O_WRONLY)",
}
"""Never run outside a sandbox."""

# EINVAL: of a user that the sandbox's namespace does not know.
REFUSED = {
    *("EPERM", "EACCES", "EROFS", "EINVAL", "ENOENT", "ENXIO", "ENOTTY", "ENOSYS"),
    "EAFNOSUPPORT",
}
LACKING = ("ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "EOPNOTSUPP", "ENODEV")


def python(sandbox: Sandbox, code: str, timeout_s: float = 20.0) -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=timeout_s)


def outcome(sandbox: Sandbox, attack: str) -> str:
    """`done`, or the name of the error that stopped it."""
    done = python(sandbox, f"{START}    {attack}{END}")
    assert done.exit_code == 0, done
    return done.stdout.decode().strip()


def alive(sandbox: Sandbox) -> bool:
    return python(sandbox, "print('well')").stdout == b"well\n"


@pytest.mark.daily(25, per="jails")
@pytest.mark.parametrize("name", [*FREE, *HARMFUL])
def test_it_is_refused(jail, name):
    if name.startswith("its ") and landlock() < 2:
        pytest.skip(
            "this kernel lacks Landlock: a command may break its own sandbox for memory"
        )
    said = outcome(jail, (FREE | HARMFUL)[name])
    assert said in REFUSED
    assert alive(jail)


def landlock() -> int:
    """Version of Landlock in this kernel; -1 without."""
    return ctypes.CDLL(None).syscall(444, None, 0, 1)


CROWD = """
import os, subprocess, sys, time
try:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")
except OSError:
    pass
hold = "import time; held = b'x' * (4 << 20); time.sleep(20)"
held = []
try:
    for _ in range(115):
        held.append(subprocess.Popen([sys.executable, "-ISs", "-c", hold]))
except OSError:
    pass
time.sleep(2)
"""


@pytest.mark.parametrize(
    "jails", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True
)
@pytest.mark.skipif(landlock() < 2, reason="this kernel lacks Landlock")
def test_a_crowd_of_processes_smaller_than_the_runner_does_not_get_it_killed(jail):
    assert python(jail, CROWD, timeout_s=15).exit_code in (0, -9)
    assert alive(jail)


def test_files_are_moved_and_linked_between_folders_all_the_same(jail):
    code = """
import os
os.makedirs("a/b"); os.makedirs("c"); open("a/b/f", "w").close()
os.rename("a/b/f", "c/f"); os.link("c/f", "a/g"); os.rename("a", "c/a")
open("/dev/null", "w").write("x"); open("/dev/stdout", "w").write("well")
"""
    assert python(jail, code).stdout == b"well"
    assert jail.read("c/a/g") == b""


@pytest.fixture(scope="module")
def open_sandbox() -> Iterator[Sandbox]:
    if os.geteuid() != 0:
        pytest.skip("only root has something to lose")
    config = SandboxConfig(backend="unsafe", allow_unsafe=True, size=1)
    with open_pool(config) as pool, pool.lease() as leased:
        yield leased


@pytest.mark.daily(15)
@pytest.mark.parametrize("name", FREE)
def test_without_walls_it_works(open_sandbox, name):
    said = outcome(open_sandbox, FREE[name])
    if said in LACKING:
        pytest.skip(f"this kernel lacks it: {said}")
    assert said == "done"


BEYOND_THE_FILTER = (
    *(
        "another root",
        "user 0",
        "group 0",
        "a file of root",
        "a device",
        "a higher priority",
    ),
    *("capabilities of a file", "its rank when memory ends", "its name"),
)


@pytest.mark.daily(15)
@pytest.mark.parametrize(
    "name", [name for name in FREE if name not in BEYOND_THE_FILTER]
)
def test_the_filter_refuses_it_to_root_whatever_the_machine_is_set_to(name):
    code = f"from sandboxes.inside import seccomp\nseccomp.forbid()\n{START}    {FREE[name]}{END}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() in ("EPERM", "EAFNOSUPPORT"), done.stderr


TIMES = {
    "sleeps": "time.sleep(60)",
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "spins in C": "sum(range(10**12))",
    "takes no signal": (
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 13, 15)]; time.sleep(60)"
    ),
    "patches the clock": "time.monotonic = time.time = lambda: 0.0; time.sleep(60)",
    "blocks every signal": "signal.pthread_sigmask(0, range(1, 65)); time.sleep(60)",
    "waits for itself": "l = __import__('threading').Lock(); l.acquire(); l.acquire()",
    "reads a pipe of its own": "r, w = os.pipe(); os.read(r, 1)",
    "leaves its session": "os.fork() or os.setsid(); time.sleep(60)",
    "starts a successor all the time": (
        "\nwhile True:\n    if os.fork(): os._exit(0) if os.getppid() != 1 else time.sleep(60)"
    ),
}


@pytest.mark.daily(4, per="jails")
@pytest.mark.parametrize("name", TIMES)
def test_no_way_of_waiting_outlives_the_deadline(jail, name):
    begun = time.monotonic()
    done = python(jail, f"import os, signal, time; {TIMES[name]}", timeout_s=0.4)
    assert time.monotonic() - begun < 5
    assert done.timed_out
    assert done.exit_code is None
    assert 0.4 <= done.wall_s < 4
    assert alive(jail)


def test_the_time_that_is_reported_is_not_the_commands_own(jail):
    code = "import time; time.sleep(0.3); time.monotonic = time.time = lambda: 0.0"
    assert 0.3 <= python(jail, code).wall_s < 5


FLOODS = {
    "one byte at a time": "while True: os.write(1, b'x')",
    "both streams": "while True: os.write(1, b'x' * 999), os.write(2, b'y' * 999)",
    "by the pipe's name": "f = open('/dev/stdout', 'wb', 0)\nwhile True: f.write(b'x' * 4096)",
    "from a hundred processes": (
        "for _ in range(60): os.fork() or [os.write(1, b'x' * 999) for _ in range(10**6)]"
    ),
    "through a larger pipe": (
        "import fcntl; fcntl.fcntl(1, 1031, 1 << 20)\nwhile True: os.write(1, b'x' * 65536)"
    ),
}


@pytest.mark.daily(2, per="jails")
@pytest.mark.parametrize("name", FLOODS)
def test_no_flood_of_output_gets_past_the_cap(jail, name):
    begun = time.monotonic()
    done = python(jail, f"import os\n{FLOODS[name]}", timeout_s=30)
    assert time.monotonic() - begun < 20
    assert done.truncated
    assert max(len(done.stdout), len(done.stderr)) == 64 * 1024
    assert alive(jail)


def test_a_flood_from_a_process_that_its_parent_left_ends_with_the_command(jail):
    code = "import os\nif not os.fork():\n    os.setsid()\n    while True: os.write(2, b'x' * 999)"
    begun = time.monotonic()
    assert python(jail, code).exit_code in (0, -9)
    assert time.monotonic() - begun < 10
    assert alive(jail)


def test_a_command_may_kill_all_it_can_and_kills_only_itself(jail):
    assert python(jail, "import os; os.kill(-1, 9)").exit_code in (0, 1, -9)
    assert alive(jail)


PLANTS = {
    "sitecustomize.py": b"print('planted')",
    "usercustomize.py": b"print('planted')",
    "json.py": b"print('planted')",
    "os.py": b"print('planted')",
    "struct.py": b"print('planted')",
    "sandboxes/__init__.py": b"print('planted')",
    "sandboxes/inside/runner.py": b"print('planted')",
    **{
        f".local/lib/python3.{minor}/site-packages/evil.pth": b"import os; print('planted')"
        for minor in range(11, 16)
    },
}


@pytest.mark.parametrize("program", ["python", "python3"])
def test_nothing_planted_for_the_interpreter_is_there_in_the_next_lease(jails, program):
    with jails.lease() as sandbox:
        sandbox.write(PLANTS)
        # Within its lease a program finds its own files first, as anywhere.
        said = sandbox.run([program, "-c", "import json"], timeout_s=20).stdout
        assert b"planted" in said
        sandbox.write({"file": b"well"})
        assert sandbox.read("file") == b"well"
    with jails.lease() as sandbox:
        code = "import json, os, struct, sys; print(len(sys.path) > 0)"
        done = sandbox.run([program, "-c", code], timeout_s=20)
        assert (done.stdout, done.stderr) == (b"True\n", b"")


def test_a_patched_interpreter_is_gone_with_its_command(jail):
    code = (
        "import builtins, json, os, sys, time, unittest\n"
        "sys.exit = os._exit = builtins.print = json.loads = time.sleep = None\n"
        "unittest.TestCase.run = sys.settrace = builtins.__import__ = None\n"
    )
    python(jail, code)
    assert (
        python(
            jail, "import json, sys; print(json.loads('[1]')); sys.exit(3)"
        ).exit_code
        == 3
    )


LAST = """
import atexit, os, sys, threading
class Last:
    def __del__(self):
        os.write(1, b"del ")
kept = Last()
atexit.register(os._exit, 7)
threading.Thread(target=lambda: None).start()
print("main", flush=True)
"""


def test_what_runs_at_the_end_of_a_command_is_its_own_affair(jail):
    done = python(jail, LAST)
    assert done.exit_code == 7
    assert done.stdout.startswith(b"main")
    assert alive(jail)


def test_two_leases_at_once_share_neither_files_nor_processes(jails):
    with jails.lease() as one, jails.lease() as other:
        one.write({"file": b"one"})
        other.write({"file": b"other", "more": b""})
        see = "import os; print(sorted(os.listdir()), open('file').read())"
        assert python(one, see).stdout == b"['file'] one\n"
        assert python(other, see).stdout == b"['file', 'more'] other\n"
        python(one, "import os; open('/tmp/mark', 'w').close()")
        assert python(other, "import os; print(os.listdir('/tmp'))").stdout == b"[]\n"
        ids = "import os; print([os.readlink(f'/proc/self/ns/{n}') for n in ('pid','net','ipc')])"
        mine, theirs = (eval(python(sandbox, ids).stdout) for sandbox in (one, other))
        assert not set(mine) & set(theirs)
        host = [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "net", "ipc")]
        assert not set(mine) & set(host)


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="only x86_64 has a second call table"
)
@pytest.mark.parametrize("name", ["x32", "i386"])
def test_the_filter_is_not_passed_by_another_call_table(jail, name):
    body = "call(0x40000000 + 39)" if name == "x32" else BY_INT_80
    done = python(jail, f"{START}    {body}{END}")
    assert done.exit_code == -31, done
    assert alive(jail)


# mov eax, 20 (getpid of i386); int 0x80; ret
BY_INT_80 = (
    "m = __import__('mmap'); page = m.mmap(-1, 4096, prot=7); "
    "page.write(bytes.fromhex('b814000000cd80c3')); "
    "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()"
)
