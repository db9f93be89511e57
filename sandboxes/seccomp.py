"""A system-call filter for everything in a box. Standard library only.

It closes what namespaces leave open: every socket family but AF_UNIX (AF_VSOCK has no namespace,
AF_NETLINK and AF_INET reach the kernel's parsers), io_uring, which carries out calls that no
filter sees, memory and queues that outlive their process and so a lease, calls that change other
processes (the runner may be of the same user), and kernel interfaces that the code of a task has
no use for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

__all__ = ["forbid"]

_MACHINES = {"x86_64": (0xC000003E, 41, 302), "aarch64": (0xC00000B7, 198, 261)}
"""Machine -> AUDIT_ARCH, number of `socket`, number of `prlimit64`."""

_DENIED = {
    "x86_64": {
        "shmget": 29,
        "semget": 64,
        "msgget": 68,
        "mq_open": 240,
        "ptrace": 101,
        "syslog": 103,
        "setpriority": 141,
        "sched_setparam": 142,
        "sched_setscheduler": 144,
        "sched_setaffinity": 203,
        "ioprio_set": 251,
        "migrate_pages": 256,
        "sched_setattr": 314,
        "mount": 165,
        "unshare": 272,
        "kexec_load": 246,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "perf_event_open": 298,
        "open_by_handle_at": 304,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "bpf": 321,
        "userfaultfd": 323,
    },
    "aarch64": {
        "mq_open": 180,
        "msgget": 186,
        "semget": 190,
        "shmget": 194,
        "ptrace": 117,
        "syslog": 116,
        "setpriority": 140,
        "sched_setparam": 118,
        "sched_setscheduler": 119,
        "sched_setaffinity": 122,
        "ioprio_set": 30,
        "migrate_pages": 238,
        "sched_setattr": 274,
        "mount": 40,
        "unshare": 97,
        "kexec_load": 104,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "perf_event_open": 241,
        "open_by_handle_at": 265,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "bpf": 280,
        "userfaultfd": 282,
    },
}
_SINCE_5_1 = (425, 426, 427, 428, 429, 430, 431, 432, 442)
"""io_uring_* and the new mount calls, whose numbers are the same everywhere."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000
_AF_UNIX = 1
_SELF = 0
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _filter(machine: str) -> bytes:
    arch, socket, prlimit = _MACHINES[machine]
    refuse = _step(_RETURN, _ERROR | errno.EPERM)
    code = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, arch, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for number in (*_DENIED[machine].values(), *_SINCE_5_1):
        code += [_step(_EQUAL, number, 0, 1), refuse]
    no_family = _step(_RETURN, _ERROR | errno.EAFNOSUPPORT)
    for number, argument, answer in ((socket, _AF_UNIX, no_family), (prlimit, _SELF, refuse)):
        code += [
            _step(_EQUAL, number, 0, 4),
            _step(_LOAD, _FIRST_ARGUMENT),
            _step(_EQUAL, argument, 1, 0),
            answer,
            _step(_RETURN, _ALLOW),
        ]
    code.append(_step(_RETURN, _ALLOW))
    return b"".join(code)


def forbid() -> None:
    """Puts this process and all that it will ever start under the filter.

    Raises OSError where the kernel has no filters, or the machine is one that has no table here.
    """
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no system-call table for {machine}")
    code = _filter(machine)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel refused the system-call filter")
