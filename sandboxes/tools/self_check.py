"""A short hostile battery that shows, in seconds, whether a pool's sandboxes hold on this machine.

Nothing in it sends anything anywhere or writes outside the working folder, so that it is safe to
run in a sandbox that isolates nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandboxes.base import ExecResult, Isolation, Sandbox, SandboxError, SandboxPool
from sandboxes.limits import compose_limits

__all__ = ["ISOLATING", "Finding", "findings"]

ISOLATING = (Isolation.NAMESPACE, Isolation.CONTAINER, Isolation.VM)
"""The levels that hostile code may run at."""

_LONG_S = 30.0
_SHORT_S = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    | field | meaning |
    |---|---|
    | name | what was looked at |
    | good | whether it is as it should be |
    | found | what was there |
    | remedy | what to install or change where it is not good |
    """

    name: str
    good: bool
    found: str
    remedy: str = ""


Check = Callable[[Sandbox], tuple[bool, str]]


def findings(pool: SandboxPool) -> Iterator[Finding]:
    """The checks one after the other, each in a lease of its own, on a pool of one sandbox."""
    for name, check in _CHECKS.items():
        yield _finding(pool, name, check)
    yield _wiped(pool)


def _finding(pool: SandboxPool, name: str, check: Check) -> Finding:
    try:
        with pool.lease() as sandbox:
            good, found = check(sandbox)
    except SandboxError as error:
        good, found = False, f"the sandbox broke: {error}"
    except (ValueError, KeyError, OSError) as error:
        good, found = False, f"an answer that makes no sense: {error}"
    return Finding(name, good, found)


def _python(sandbox: Sandbox, code: str, timeout_s: float = _LONG_S) -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=timeout_s)


def _answer(sandbox: Sandbox, code: str) -> dict[str, object]:
    """The JSON object that the code prints. Raises ValueError."""
    done = _python(sandbox, code)
    answer = json.loads(done.stdout or b"null")
    if not isinstance(answer, dict):
        raise ValueError(f"status {done.exit_code}, {done.stderr[-100:]!r}")
    return answer


_NETWORK = """
import json
with open("/proc/net/dev") as file:
    names = [line.partition(":")[0].strip() for line in file if ":" in line]
with open("/proc/net/route") as file:
    routes = len(file.readlines()[1:])
print(json.dumps({"names": names, "routes": routes}))
"""


def _network(sandbox: Sandbox) -> tuple[bool, str]:
    answer = _answer(sandbox, _NETWORK)
    good = answer == {"names": ["lo"], "routes": 0}
    return good, f"interfaces {answer['names']}, {answer['routes']} routes"


_WRITABLE = """
import json, os
places = ["/", "/etc", "/usr", "/usr/bin", "/dev", "/proc/sys/kernel/core_pattern",
          "/proc/sys/kernel/hostname", "/proc/sysrq-trigger"]
mounts = {line.split()[1]: line.split()[3].split(",") for line in open("/proc/mounts")}
print(json.dumps({"writable": [place for place in places if os.access(place, os.W_OK)],
                  "read-only": "ro" in mounts["/"]}))
"""


def _root(sandbox: Sandbox) -> tuple[bool, str]:
    answer = _answer(sandbox, _WRITABLE)
    if answer["writable"] or not answer["read-only"]:
        return (
            False,
            f"root read-only: {answer['read-only']}, writable: {answer['writable']}",
        )
    return True, "mounted read-only, no system path can be written"


_POWER = """
import json
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
held = [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(status[name], 16)]
print(json.dumps({"held": held, "uid": status["Uid"].split()[1],
                  "new": status["NoNewPrivs"].strip() != "1"}))
"""


def _power(sandbox: Sandbox) -> tuple[bool, str]:
    answer = _answer(sandbox, _POWER)
    good = not answer["held"] and answer["uid"] != "0" and not answer["new"]
    held = answer["held"] or "none"
    more = "may be gained" if answer["new"] else "none can be gained"
    return good, f"capabilities: {held}, {more}, uid {answer['uid']}"


_CALLS = """
import ctypes, errno, json, socket
libc = ctypes.CDLL(None, use_errno=True)
allowed = []
for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_VSOCK"):
    try:
        socket.socket(getattr(socket, family), socket.SOCK_DGRAM).close()
        allowed.append(family)
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            allowed.append(family)
if libc.ptrace(0, 0, 0, 0) == 0:
    allowed.append("ptrace")
print(json.dumps({"allowed": allowed}))
"""


def _calls(sandbox: Sandbox) -> tuple[bool, str]:
    allowed = _answer(sandbox, _CALLS)["allowed"]
    if allowed:
        return False, f"not refused: {allowed}"
    return True, "refuses AF_INET, AF_INET6, AF_NETLINK, AF_VSOCK, ptrace"


def _memory(sandbox: Sandbox) -> tuple[bool, str]:
    limit = compose_limits().memory_mib
    done = _python(sandbox, f"held = b'x' * ({2 * limit} << 20); print(len(held))")
    good = not done.timed_out and done.exit_code in (1, -9) and not done.stdout
    return (
        good,
        f"{2 * limit} MiB {'refused' if good else 'taken'}, the limit is {limit} MiB",
    )


_FORKS = """
import json, os, time
count = 0
try:
    while count < {most}:
        if not os.fork():
            time.sleep(60)
            os._exit(0)
        count += 1
except OSError:
    pass
print(json.dumps({{"count": count}}))
"""


def _processes(sandbox: Sandbox) -> tuple[bool, str]:
    limit = compose_limits().pids
    count = int(str(_answer(sandbox, _FORKS.format(most=limit + 8))["count"]))
    return 0 < count < limit + 8, f"{count} started, the limit is {limit}"


_STUBBORN = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if not os.fork():
    os.setsid()
while True:
    with open("beat", "a") as file:
        file.write(".")
    time.sleep(0.01)
"""


def _time(sandbox: Sandbox) -> tuple[bool, str]:
    done = _python(sandbox, _STUBBORN, _SHORT_S)
    before = sandbox.read("beat")
    _python(sandbox, "import time; time.sleep(0.1)")
    good = done.timed_out and sandbox.read("beat") == before
    said = "with all it started" if good else "but something lived on"
    return good, f"killed after {done.wall_s:.1f} s {said}"


def _output(sandbox: Sandbox) -> tuple[bool, str]:
    done = _python(sandbox, "while True: print('x' * 4096)")
    return (
        done.truncated and not done.timed_out,
        f"cut after {len(done.stdout) >> 10} KiB",
    )


_FILL = """
import json
total, errno = 0, 0
try:
    for number in range({most}):
        with open(str(number), "wb", buffering=0) as file:
            total += file.write(bytes(1 << 20))
except OSError as error:
    errno = error.errno
print(json.dumps({{"total": total >> 20, "errno": errno}}))
"""


def _disk(sandbox: Sandbox) -> tuple[bool, str]:
    limit = next(iter(compose_limits().folders_mib.values()))
    answer = _answer(sandbox, _FILL.format(most=limit + 8))
    return answer[
        "errno"
    ] == 28, f"{answer['total']} MiB written, the limit is {limit} MiB"


_CHECKS: dict[str, Check] = {
    "no network": _network,
    "read-only root": _root,
    "no power": _power,
    "system-call filter": _calls,
    "memory limit": _memory,
    "process limit": _processes,
    "time limit": _time,
    "output limit": _output,
    "disk limit": _disk,
}

_PLANT = """
import os, tempfile
for folder in (".", tempfile.gettempdir()):
    open(os.path.join(folder, "planted"), "w").close()
    os.utime(folder, (1, 1))
    try:
        os.setxattr(folder, "user.planted", b"x")
    except OSError:
        pass
"""
_LOOK = """
import json, os, tempfile
left = []
for folder in (".", tempfile.gettempdir()):
    left += ["times of a folder"] * (os.stat(folder).st_mtime == 1)
    left += [name for name in os.listxattr(folder) if name.startswith("user.")]
    left += os.listdir(folder)
print(json.dumps({"left": left}))
"""


def _wiped(pool: SandboxPool) -> Finding:
    """What one lease of the only sandbox wrote, the next one looks for."""
    name = "wiped between leases"
    planted = _finding(pool, name, _plant)
    return _finding(pool, name, _look) if planted.good else planted


def _plant(sandbox: Sandbox) -> tuple[bool, str]:
    done = _python(sandbox, _PLANT)
    return done.exit_code == 0, f"no file could be written: {done.stderr[-100:]!r}"


def _look(sandbox: Sandbox) -> tuple[bool, str]:
    left = _answer(sandbox, _LOOK)["left"]
    return left == [], f"left by the lease before: {left or 'nothing'}"
