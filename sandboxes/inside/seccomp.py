"""A system-call filter for everything in a sandbox. Standard library only.

It closes what namespaces leave open: every socket family but AF_UNIX (AF_VSOCK has no namespace,
AF_NETLINK and AF_INET reach the kernel's parsers), io_uring, which carries out calls that no
filter sees, memory, queues, attributes and descriptors in flight, which outlive their process and
so a lease, calls that change other processes (the runner may be of the same user), budgets that all
sandboxes of a machine share, and kernel interfaces that the code of a task has no use for.
`removexattr` is left, since the runner, which is under the filter too, takes attributes away that
came in some other way.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

__all__ = ["forbid"]

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Machine -> AUDIT_ARCH. Their order is that of the numbers below."""

_AF_UNIX = 1
_SELF = _PRIO_PROCESS = 0
_ALLOWED_ONLY = (
    ((41, 198), (_AF_UNIX,), errno.EAFNOSUPPORT),
    ((302, 261), (_SELF,), errno.EPERM),
    ((141, 140), (_PRIO_PROCESS, _SELF), errno.EPERM),
)
"""Numbers of `socket`, `prlimit64` and `setpriority`, the only first arguments that they may have,
and the error that all others get. The kernel reads the lower half of an argument, an int."""

_DENIED: dict[str, tuple[int | None, int | None]] = {
    # Outlive their process, and so a lease.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    # Send descriptors over a Unix socket, where sockets that hold each other keep files, names and
    # memory after their process. Linux 6.18 does not free some of them even with the namespace.
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    # Change or read other processes; the runner may be of the same user.
    "ptrace": (101, 117),
    "kcmp": (312, 272),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    # Take from what all sandboxes of a machine share, or see their neighbours.
    "io_setup": (206, 0),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    # The machine's own.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    # Parts of the kernel that no task needs.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "vmsplice": (278, 75),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
}
"""Call -> its number on x86_64 and on aarch64; None if there is none."""

_SINCE_5_1 = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "memfd_secret": 447,
    "process_mrelease": 448,
    "set_mempolicy_home_node": 450,
    "lsm_set_self_attr": 460,
    "setxattrat": 463,
    "open_tree_attr": 467,
    "file_setattr": 469,
}
"""The same for calls whose number is the same everywhere."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _filter(machine: str) -> bytes:
    """The filter's program in the kernel's format, 8 bytes a step."""
    column = list(_MACHINES).index(machine)
    # A number means another call in another architecture's table, and x32 has numbers of its own.
    program = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, _MACHINES[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _KILL),
    ]

    refuse = _step(_RETURN, _ERROR | errno.EPERM)
    denied = [numbers[column] for numbers in _DENIED.values()]
    for number in (*denied, *_SINCE_5_1.values()):
        if number is not None:
            program += [_step(_EQUAL, number, 0, 1), refuse]

    for numbers, arguments, error in _ALLOWED_ONLY:
        checks = _argument_checks(arguments, error)
        # The jump skips the checks and the step that allows.
        program.append(_step(_EQUAL, numbers[column], 0, len(checks) + 1))
        program += [*checks, _step(_RETURN, _ALLOW)]
    program.append(_step(_RETURN, _ALLOW))
    return b"".join(program)


def _argument_checks(arguments: tuple[int, ...], error: int) -> list[bytes]:
    """Steps that return the error unless a call's first arguments are these."""
    steps = []
    for index, value in enumerate(arguments):
        steps.append(_step(_LOAD, _ARGUMENTS + 8 * index))
        steps.append(_step(_EQUAL, value, 1, 0))
        steps.append(_step(_RETURN, _ERROR | error))
    return steps


def forbid() -> None:
    """Puts this process and all that it will ever start under the filter.

    Raises OSError if the kernel has no filters, or if this machine has no table here.
    """
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no system-call table for {machine}")
    code = _filter(machine)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    # The kernel takes a filter only from a process that can gain no privileges.
    failed = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    failed = failed or libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)
    if failed:
        raise OSError(ctypes.get_errno(), "the kernel refused the system-call filter")
