"""Turns a forked child of the runner into the command. Standard library only."""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import atexit
import builtins
import contextlib
import ctypes
import importlib
import importlib.machinery
import json
import os
import resource
import runpy
import signal
import struct
import sys
import threading
import types
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from sandboxes.inside.settings import Settings

__all__ = ["exec_command", "landlock_rules", "preload"]

_PRELOADED = (
    "abc ast bisect collections contextlib copy dataclasses datetime decimal enum fractions "
    "functools heapq importlib.util inspect io itertools json math operator pathlib random re "
    "statistics string tempfile textwrap time traceback types typing unittest"
)
_CANNOT_START = 127
_PR_SET_DUMPABLE = 4
_CREATE, _ADD, _CONFINE = 444, 445, 446
"""Landlock's calls, whose numbers are the same everywhere."""

_BENEATH, _WRITE, _MOVE = 1, 1 << 1, 1 << 13
_LIBC = ctypes.CDLL(None, use_errno=True)

_runner_modules: list[str] = []
"""Modules of ours, which commands do not see. Listed before a fork: a walk over all modules would
copy pages that are shared until then."""

_unseen: list[types.ModuleType] = []
"""What a command must not see and yet is not freed: freeing copies pages that are shared so far."""


def preload(hidden: Collection[str]) -> None:
    """Imports what commands are likely to import, and nothing that is hidden from them."""
    for name in _PRELOADED.split():
        if name.partition(".")[0] not in hidden:
            importlib.import_module(name)
    _runner_modules[:] = [
        name for name in sys.modules if name.partition(".")[0] == "sandboxes"
    ]


def exec_command(
    job: int, stdio: Sequence[int], settings: Settings, rules: int
) -> NoReturn:
    """Turns this process into the command that is described in the file `job`; never returns.

    The job is JSON: argv, cwd (relative to the work folder). The environment is the runner's own.
    `rules` are those of `landlock_rules`.
    """
    try:
        os.setsid()
        request = json.loads(os.pread(job, os.fstat(job).st_size, 0))
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        # Read before the command's own limit replaces it: descriptors may lie above that.
        max_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        _drop_privileges(settings)
        if rules >= 0 and _landlock(_CONFINE, rules, 0) < 0:
            raise OSError(ctypes.get_errno(), "cannot be confined")
        os.closerange(3, max_fds)
        os.umask(0o022)
        try:
            os.chdir(os.path.join(settings.work, request["cwd"]))
            status = _run(request["argv"])
        except OSError as error:
            os.write(2, f"cannot start: {error}\n".encode())
            status = _CANNOT_START
        os._exit(status)
    finally:
        # Whatever fails above, the child must never return into the runner's code.
        os._exit(_CANNOT_START)


def _drop_privileges(settings: Settings) -> None:
    for number, value in settings.limits.items():
        resource.setrlimit(number, (value, value))
    uid = settings.uid
    if uid >= 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # Only a dumpable process may write its own oom_score_adj, and the runner is not one.
    _LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    with contextlib.suppress(OSError):
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(score, b"1000")
        os.close(score)


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
    return _LIBC.syscall(call, *arguments)


def _run(argv: list[str]) -> int:
    """Runs Python code in this interpreter and returns its status; executes anything else."""
    program, *rest = argv
    if program == "python" and rest:
        first = rest[0]
        if first == "-c" and len(rest) > 1:
            return _finish(lambda: _code(rest), argv)
        if first == "-m" and len(rest) > 1:
            return _finish(lambda: _module(rest), argv)
        if not first.startswith("-") and os.path.isfile(first):
            return _finish(lambda: _file(rest), argv)

    # Python ignores SIGPIPE, and what is executed would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return os.execvp(sys.executable if program == "python" else program, argv)


def _main_module() -> dict[str, Any]:
    """The namespace of a new module `__main__`."""
    main = types.ModuleType("__main__")
    _unseen.append(sys.modules["__main__"])
    sys.modules["__main__"] = main
    main.__dict__.update(__builtins__=builtins, __annotations__={})
    return main.__dict__


def _code(rest: list[str]) -> None:
    sys.argv = ["-c", *rest[2:]]
    sys.path[0] = ""
    names = _main_module()
    names["__loader__"] = importlib.machinery.BuiltinImporter
    exec(compile(rest[1], "<string>", "exec"), names)


def _module(rest: list[str]) -> None:
    sys.argv = ["-m", *rest[2:]]
    sys.path[0] = os.getcwd()
    _main_module()
    runpy._run_module_as_main(rest[1])  # type: ignore[attr-defined]


def _file(rest: list[str]) -> None:
    path = os.path.abspath(rest[0])
    sys.argv = rest
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    with open(path, "rb") as file:
        source = file.read()
    names = _main_module()
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    names.update(__file__=path, __cached__=None, __loader__=loader)
    exec(compile(source, path, "exec"), names)


def _finish(main: Callable[[], None], argv: list[str]) -> int:
    """Runs `main` to the end as the interpreter would, and returns the exit status."""
    # Not `signal.signal`, which takes a tenth of a fork to turn numbers into names.
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    sys.orig_argv = argv
    _unseen.extend(sys.modules.pop(name) for name in _runner_modules)
    status = _status_of(main)

    # What the interpreter does at its end: wait for threads, run exit functions, flush.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            status = status or 120
    return status


def _status_of(main: Callable[[], None]) -> int:
    try:
        main()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:  # noqa: BLE001 - whatever the command raised is its own end
        # Without this module's frames: this one, the lambda's, and that of `_code` or a sibling.
        trace = error.__traceback__
        for _ in range(3):
            trace = trace and trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return 1
    return 0
