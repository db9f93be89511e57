"""A self-check of a few seconds: short hostile programs, and whether a pool's sandboxes hold them.

None of them sends anything anywhere or writes outside the working folder, so that they are safe to
run in a sandbox that isolates nothing.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandboxes.base import ExecResult, Isolation, Sandbox, SandboxError, SandboxPool
from sandboxes.limits import compose_limits

__all__ = ["ISOLATING", "CheckResult", "self_check"]

ISOLATING = (Isolation.NAMESPACE, Isolation.CONTAINER, Isolation.VM)
"""The levels that hostile code may run at."""

_LONG_S = 30.0
_SHORT_S = 0.5


@dataclass(frozen=True)
class CheckResult:
    """What one check of this machine or of a sandbox showed.

    | field | meaning |
    |---|---|
    | name | what was checked |
    | passed | whether it is as it should be |
    | detail | what was observed |
    | remedy | what to install or change if it did not pass |
    """

    name: str
    passed: bool
    detail: str
    remedy: str = ""


Check = Callable[[Sandbox], tuple[bool, str]]
"""Whether a sandbox passes, and what was observed."""


def self_check(pool: SandboxPool) -> Iterator[CheckResult]:
    """Results of all checks, each in a lease of its own; `pool` must have one sandbox."""
    for name, check in _CHECKS.items():
        yield _result(pool, name, check)
    yield _wipe_result(pool)


def _result(pool: SandboxPool, name: str, check: Check) -> CheckResult:
    try:
        with pool.lease() as sandbox:
            passed, detail = check(sandbox)
    except SandboxError as error:
        passed, detail = False, f"the sandbox broke: {error}"
    except (ValueError, KeyError, OSError) as error:
        passed, detail = False, f"an answer that makes no sense: {error}"
    return CheckResult(name, passed, detail)


def _python(sandbox: Sandbox, code: str, timeout_s: float = _LONG_S) -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=timeout_s)


def _answer(sandbox: Sandbox, code: str) -> dict[str, object]:
    """The JSON object that the code prints. Raises ValueError."""
    result = _python(sandbox, code)
    answer = json.loads(result.stdout or b"null")
    if not isinstance(answer, dict):
        raise ValueError(f"status {result.exit_code}, {result.stderr[-100:]!r}")
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
    passed = answer == {"names": ["lo"], "routes": 0}
    return passed, f"interfaces {answer['names']}, {answer['routes']} routes"


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
    is_read_only, writable = answer["read-only"], answer["writable"]
    if writable or not is_read_only:
        return False, f"root read-only: {is_read_only}, writable: {writable}"
    return True, "mounted read-only, no system path can be written"


_PRIVILEGES = """
import json
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
names = [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(status[name], 16)]
print(json.dumps({"capabilities": names, "uid": status["Uid"].split()[1],
                  "new": status["NoNewPrivs"].strip() != "1"}))
"""


def _privileges(sandbox: Sandbox) -> tuple[bool, str]:
    answer = _answer(sandbox, _PRIVILEGES)
    capabilities, uid = answer["capabilities"], answer["uid"]
    passed = not capabilities and uid != "0" and not answer["new"]
    new = "may be gained" if answer["new"] else "none can be gained"
    return passed, f"capabilities: {capabilities or 'none'}, {new}, uid {uid}"


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
    size = 2 * limit
    result = _python(sandbox, f"data = b'x' * ({size} << 20); print(len(data))")

    # 1: Python's MemoryError. -9: the kernel killed it.
    was_refused = result.exit_code in (1, -9) and not result.stdout
    passed = was_refused and not result.timed_out
    outcome = "refused" if passed else "allocated"
    return passed, f"{size} MiB {outcome}, the limit is {limit} MiB"


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
    most = limit + 8
    count = int(str(_answer(sandbox, _FORKS.format(most=most))["count"]))
    return 0 < count < most, f"{count} started, the limit is {limit}"


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
    result = _python(sandbox, _STUBBORN, _SHORT_S)
    # A survivor would go on writing while the second command runs.
    before = sandbox.read("beat")
    _python(sandbox, "import time; time.sleep(0.1)")
    passed = result.timed_out and sandbox.read("beat") == before
    rest = "with all that it started" if passed else "but a process lived on"
    return passed, f"killed after {result.wall_s:.1f} s {rest}"


def _output(sandbox: Sandbox) -> tuple[bool, str]:
    result = _python(sandbox, "while True: print('x' * 4096)")
    passed = result.truncated and not result.timed_out
    return passed, f"truncated after {len(result.stdout) >> 10} KiB"


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
    passed = answer["errno"] == errno.ENOSPC
    return passed, f"{answer['total']} MiB written, the limit is {limit} MiB"


_CHECKS: dict[str, Check] = {
    "no network": _network,
    "read-only root": _root,
    "no privileges": _privileges,
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


def _wipe_result(pool: SandboxPool) -> CheckResult:
    """Whether the next lease of the only sandbox sees what one wrote."""
    name = "wiped between leases"
    plant_result = _result(pool, name, _plant)
    return _result(pool, name, _look) if plant_result.passed else plant_result


def _plant(sandbox: Sandbox) -> tuple[bool, str]:
    result = _python(sandbox, _PLANT)
    detail = f"no file could be written: {result.stderr[-100:]!r}"
    return result.exit_code == 0, detail


def _look(sandbox: Sandbox) -> tuple[bool, str]:
    left = _answer(sandbox, _LOOK)["left"]
    return left == [], f"left by the lease before: {left or 'nothing'}"
