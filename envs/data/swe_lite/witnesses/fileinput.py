"""What the functions of the module ask of its state; expected values stay outside.

The calls follow CPython's Lib/test/test_fileinput.py, PSF licence.
"""

import builtins
import bz2
import fileinput
import gzip
import io
from unittest import mock

from observe import outcome

_QUESTIONS = ("nextfile", "filename", "lineno", "filelineno", "fileno", "isfirstline", "isstdin")


class _State:
    """Stands for a `FileInput`: keeps its arguments and the names of the methods called."""

    def __init__(self, files=None, inplace=False, backup="", *, mode="r", openhook=None, **options):
        self._file = None
        self.arguments = (files, inplace, backup, mode, openhook)
        self.calls = []

    def __getattr__(self, name):
        def method():
            self.calls.append(name)
            return f"what {name} gives"

        return method


class _Opened:
    """Stands for a function that opens files, and keeps its arguments."""

    def __init__(self):
        self.calls = []

    def __call__(self, *arguments, **options):
        self.calls.append((arguments, sorted(options.items())))
        return io.BytesIO(b"some bytes")


def _answer(function):
    """The value of a call, or its exception with what that says."""
    try:
        return function()
    except RuntimeError as error:
        return "RuntimeError", error.args


def _asked(state, name):
    """What a function of the module gives with a state, the calls it makes, and the state it leaves."""
    with mock.patch.object(fileinput, "_state", state), mock.patch.object(fileinput, "FileInput", _State):
        answer = outcome(_answer, getattr(fileinput, name))
        left = "the same" if fileinput._state is state else type(fileinput._state).__name__
        return answer if not isinstance(answer, _State) else answer.arguments, state and state.calls, left


def without_a_state():
    for name in ("close", *_QUESTIONS):
        yield name, _asked(None, name)


def with_a_state():
    for name in ("close", *_QUESTIONS):
        yield name, _asked(_State(), name)


def new_inputs():
    active, idle = _State(), _State()
    active._file = "a file"
    for state in (None, idle, active):
        yield _asked(state, "input")
        with mock.patch.object(fileinput, "_state", state), mock.patch.object(fileinput, "FileInput", _State):
            result = outcome(
                fileinput.input, files="f", inplace="i", backup="b", mode="m", openhook="o", encoding="e"
            )
            yield getattr(result, "arguments", result), result is fileinput._state


def files_opened_as_they_are():
    for name, mode in (
        ("", "r"), ("abcd", "r"), ("abcd.blah", "rb"), ("abcd.Gz", "rb"), ("abcd.Bz2", "rb"), ("abcd", "rb")
    ):
        opened = _Opened()
        with mock.patch.object(builtins, "open", opened):
            result = outcome(fileinput.hook_compressed, name, mode)
        yield type(result).__name__, opened.calls


def compressed_files():
    for module, function, name in ((gzip, "open", "test.gz"), (bz2, "BZ2File", "test.bz2")):
        opened = _Opened()
        with mock.patch.object(module, function, opened):
            result = outcome(fileinput.hook_compressed, name, "r")
        yield outcome(lambda result=result: list(result)), opened.calls
    with mock.patch.object(gzip, "open", _Opened()):
        result = outcome(fileinput.hook_compressed, "test.gz", "r", encoding="utf-8")
    yield outcome(lambda: list(result))


def encoded_files():
    hook = outcome(fileinput.hook_encoded, "an encoding", errors="errors")
    opened = _Opened()
    with mock.patch.object(builtins, "open", opened):
        result = outcome(hook, "a name", "a mode")
    yield type(result).__name__, opened.calls
