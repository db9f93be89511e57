"""Turns a forked child of the runner into the command. Standard library only."""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import ctypes
import json
import os
import resource
import site
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from sandboxes.inside.program import Program, as_program, rehearse
from sandboxes.inside.settings import Settings

__all__ = ["exec_command", "landlock_rules"]

_CANNOT_START = 127
_PR_SET_DUMPABLE = 4
_CREATE, _ADD, _CONFINE = 444, 445, 446
"""Landlock's calls, whose numbers are the same everywhere."""

_BENEATH, _WRITE, _MOVE = 1, 1 << 1, 1 << 13
_LIBC = ctypes.CDLL(None, use_errno=True)
_prctl, _syscall = _LIBC.prctl, _LIBC.syscall
_scan = json.JSONDecoder().scan_once  # pyright: ignore[reportAttributeAccessIssue]
"""The part of `json.loads` in C; that in Python writes to 80 shared pages, each a page fault."""


def exec_command(
    job: int,
    gate: int,
    stdio: Sequence[int],
    settings: Settings,
    limits: Mapping[int, int],
    rules: int,
) -> NoReturn:
    """Turns this process into the command that is described in the file `job`; never returns.

    The job is JSON: argv, cwd (relative to the work folder). It is complete when a byte can be read
    from `gate`; the process ends if that is closed instead. The environment is the runner's own,
    `rules` are those of `landlock_rules`. Raises Program for one in Python: the runner's frames
    end, and then it runs.
    """
    try:
        _confine(stdio, (job, gate), settings.uid, limits, rules)
        rehearse()
        if not os.read(gate, 1):
            os._exit(_CANNOT_START)
        text = os.pread(job, os.fstat(job).st_size, 0).decode()
        request = _scan(text, 0)[0]
        argv, cwd = request["argv"], request["cwd"]
        os.close(job)
        os.close(gate)
        program = _start(settings, argv, cwd)
    except BaseException:  # noqa: BLE001 - the child must never return into the runner's code
        os._exit(_CANNOT_START)
    raise program


def _confine(
    stdio: Sequence[int],
    kept: Sequence[int],
    uid: int,
    limits: Mapping[int, int],
    rules: int,
) -> None:
    """Gives up all that is the runner's, but the descriptors in `kept`."""
    os.setsid()
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)
    # Read before the command's own limit replaces it: descriptors may lie above that.
    max_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    _drop_privileges(uid, limits)
    if rules >= 0 and _landlock(_CONFINE, rules, 0) < 0:
        raise OSError(ctypes.get_errno(), "cannot be confined")
    lowest = 3
    for fd in (*sorted(kept), max_fds):
        os.closerange(lowest, fd)
        lowest = fd + 1
    os.umask(0o022)


def _start(settings: Settings, argv: list[str], cwd: str) -> Program:
    """Executes a command, or gives the program that this interpreter can run for it."""
    try:
        os.chdir(f"{settings.work}/{cwd}")
        if argv[0] == "python":
            return _python(argv[1:])
        # Python ignores these signals, and what is executed would inherit that.
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
            _signal.signal(number, _signal.SIG_DFL)
        os.execvp(argv[0], argv)
    except (OSError, ValueError) as error:
        os.write(2, f"cannot start: {error}\n".encode(errors="backslashreplace"))
        os._exit(_CANNOT_START)


def _python(arguments: list[str]) -> Program:
    """The program for this interpreter; executes a fresh one for what only that can do."""
    # Not `signal.signal`, which takes a tenth of a fork to turn numbers into names.
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    # A fresh interpreter would find the packages that a command has installed.
    has_packages = site.ENABLE_USER_SITE and os.path.isdir(site.USER_SITE or "")
    program = None if has_packages else as_program(arguments)
    if program is None:
        os.execv(sys.executable, [sys.executable, *arguments])
    return program


def _drop_privileges(uid: int, limits: Mapping[int, int]) -> None:
    for number, value in limits.items():
        resource.setrlimit(number, (value, value))
    if uid >= 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # Only a dumpable process may write its own oom_score_adj, and the runner is not one.
    _prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    try:
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(score, b"1000")
        os.close(score)
    except OSError:
        pass


def landlock_rules(folders: Sequence[str]) -> int:
    """Descriptor of Landlock rules: commands may open files for writing below `folders` alone.

    A command that could write its own oom_score_adj could have the kernel kill the runner before
    itself when memory ends, and so break the sandbox at will. Returns -1 on a kernel without
    Landlock's second version (5.19): the first one forbids to move files between folders. Raises
    OSError.
    """
    if _landlock(_CREATE, None, 0, 1) < 2:
        return -1
    rights = _WRITE | _MOVE
    ruleset = _landlock(_CREATE, struct.pack("=Q", rights), 8, 0)
    for folder in folders:
        fd = os.open(folder, os.O_PATH)
        if _landlock(_ADD, ruleset, _BENEATH, struct.pack("=Qi", rights, fd), 0) < 0:
            raise OSError(ctypes.get_errno(), f"cannot keep {folder} writable")
        os.close(fd)
    return ruleset


def _landlock(call: int, *arguments: int | bytes | None) -> int:
    return _syscall(call, *arguments)
