"""Runs a program in Python as the interpreter itself does. Standard library only.

The program is raised as an exception, which ends all frames of the runner; then the interpreter's
own functions run it, with no frame below, print its errors and finish. So tracebacks, the depth of
recursion, exit codes, exit functions, destructors and output that waits to be written are those
of a fresh interpreter.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import functools
import gc
import operator
import os
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import BuiltinImporter
from itertools import chain
from typing import Any

from sandboxes.inside.imports import has_new_extensions

__all__ = ["Program", "as_program", "keep_alive"]

_API = ctypes.PyDLL(None)
_API.PyImport_GetImporter.restype = ctypes.py_object
_API.PyImport_GetImporter.argtypes = (ctypes.py_object,)
_API.fopen.restype = ctypes.c_void_p
_IGNORE_COOKIE = 0x0800
_RUNNER_CALLS = 4 if sys.version_info < (3, 12) else 0
"""Calls in C below a program, which count for the depth of recursion before Python 3.12."""

_MAX_OBJECTS = 50_000
"""More objects than this are not looked through; their destructors are run."""


_HOOKS_OFF = (
    sys.gettrace,
    sys.getprofile,
    functools.partial(sys.settrace, None),
    functools.partial(sys.setprofile, None),
)
"""What a program has for its trace and its profile, which must not see what is done after it."""


class _Flags(ctypes.Structure):
    """PyCompilerFlags."""

    _fields_ = (("flags", ctypes.c_int), ("feature_version", ctypes.c_int))


class Program(BaseException):
    """What this process becomes: raise it through all frames, and nothing else comes after.

    Its arguments are a function of the interpreter's and what that is called with.
    """

    def __iter__(self) -> Iterator[object]:
        results: list[Any] = []
        functions = chain.from_iterable(self._steps(results))
        return map(results.append, map(operator.call, functions))

    def _steps(self, results: list[Any]) -> Iterator[tuple[Callable[[], Any], ...]]:
        """Functions to call one after the other, with no frame below them.

        `results` gets what they return. Between those that are yielded together nothing is run.
        """
        self._forget_runner()
        yield (functools.partial(*self.args), *_HOOKS_OFF)

        status, trace, profile = int(bool(results[0])), *results[1:3]
        if getattr(sys, "last_type", None) is not KeyboardInterrupt:
            end = functools.partial(_API.Py_Exit, status)
            if trace or profile:
                restore_trace = functools.partial(sys.settrace, trace)
                restore_profile = functools.partial(sys.setprofile, profile)
                yield restore_trace, restore_profile, end
            if not _has_threads():
                yield (atexit._run_exitfuncs,)
            if _can_end_at_once():
                _API.fflush(None)
                os._exit(status)
            if not status:
                yield (end,)
        # What follows is the interpreter's own end after an error: with status 1, or by the
        # signal of an interrupt.

    def _forget_runner(self) -> None:
        """Leaves the interpreter as it is before a program."""
        if self.__traceback__:
            # Frees the runner's frames.
            self.__traceback__.tb_next = None
        sys.excepthook = sys.__excepthook__
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            if hasattr(sys, name):
                delattr(sys, name)
        # From here on the collector has only what the program makes.
        gc.freeze()
        sys.modules["__main__"] = _main_module()
        for _ in range(_RUNNER_CALLS):
            _API.Py_LeaveRecursiveCall()


def _main_module() -> types.ModuleType:
    """A new module `__main__`, with the names of a fresh interpreter's, in their order."""
    main = types.ModuleType("__main__")
    vars(main).update(__annotations__={}, __builtins__=builtins)
    main.__loader__ = BuiltinImporter
    return main


def as_program(argv: Sequence[str]) -> Program | None:
    """The program that the interpreter would run for its arguments; None if it must be asked.

    Sets what the program finds in `sys`. Raises ValueError for arguments that no process can get.
    """
    if any("\0" in argument for argument in argv):
        raise ValueError("embedded null byte")
    argv = [os.fsdecode(os.fsencode(argument)) for argument in argv]
    program = _code(argv) if argv[:1] == ["-c"] else _file(argv)
    if program is None:
        return None
    sys.orig_argv = [sys.executable, *argv]
    # A function in C that takes the type of an error, the error and its traceback, and goes through
    # the error: what this yields is called with no frame below.
    sys.excepthook = functools.reduce  # type: ignore[assignment]
    return program


def _code(argv: Sequence[str]) -> Program | None:
    """The program of `-c`."""
    try:
        text = argv[1].encode()
    except (IndexError, UnicodeEncodeError):
        return None
    sys.argv = ["-c", *argv[2:]]
    flags = _Flags(_IGNORE_COOKIE, sys.version_info.minor)
    return Program(_API.PyRun_SimpleStringFlags, text, ctypes.byref(flags))


def _file(argv: Sequence[str]) -> Program | None:
    """The program of a file."""
    name = argv[0] if argv else "-"
    if name.startswith("-") or not os.path.isfile(name):
        return None
    path = name if os.path.isabs(name) else f"{os.getcwd()}/{name}"
    # Archives and folders are run by importers.
    if _API.PyImport_GetImporter(path) is not None:
        return None
    encoded_path = os.fsencode(path)
    file = _API.fopen(encoded_path, b"rbe")
    if file is None:
        return None
    sys.argv = list(argv)
    sys.path[0] = os.path.dirname(os.path.realpath(name))
    flags = _Flags(0, sys.version_info.minor)
    arguments = (ctypes.c_void_p(file), encoded_path, 1, ctypes.byref(flags))
    return Program(_API.PyRun_AnyFileExFlags, *arguments)


def keep_alive() -> None:
    """Keeps all that exists now until the process ends.

    So nothing is freed, and no page copied, when the interpreter takes itself apart.
    """
    _API.Py_IncRef(ctypes.py_object(gc.get_objects()))


def rehearse() -> None:
    """Runs a program that does nothing, up to the search for what it has left.

    What any program writes to memory (caches, pages that a fork shares) is written by then.
    """
    # From here on the collector has only what the program makes, and so has the search at its end.
    gc.freeze()
    state = sys.argv, sys.orig_argv, sys.excepthook
    program = _code(["-c", "pass"])
    assert program
    function, *arguments = program.args
    function(*arguments)
    _has_work_left()
    sys.argv, sys.orig_argv, sys.excepthook = state


def _can_end_at_once() -> bool:
    """Writes out the streams; whether the interpreter's end would do nothing else that shows.

    That end costs more than all the rest of a short command.
    """
    try:
        if _has_work_left():
            return False
        for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
            stream = getattr(sys, name, None)
            if stream is not None and not stream.closed:
                stream.flush()
    except Exception:  # noqa: BLE001 - the interpreter's own end reports it
        return False
    return True


def _has_threads() -> bool:
    """Whether the interpreter's end would begin with those of threads."""
    threading = sys.modules.get("threading")
    if threading and getattr(threading, "_threading_atexits", True):
        return True
    return len(sys._current_frames()) > 1


def _has_work_left() -> bool:
    """Whether threads, exit functions, hooks or destructors are left."""
    if _has_threads() or atexit._ncallbacks():
        return True
    if gc.callbacks or has_new_extensions():
        return True

    objects = gc.get_objects()
    return len(objects) > _MAX_OBJECTS or any(map(_has_destructor, objects))


def _has_destructor(value: object) -> bool:
    """Whether the end of an object may run code or write a file."""
    if isinstance(value, weakref.ref) and value.__callback__:
        return True
    if isinstance(value, type) and "__del__" in vars(value):
        return True
    return hasattr(type(value), "__del__")
