"""Attacks by what is no proof: runs broken off, twice, late, or just quiet."""

from __future__ import annotations

from envs.attack.model import EVIDENCE, Attack

__all__ = ["ATTACKS"]

_NO_END = "a test that broke off counts as one that did not fail"


def _raises(name: str, raised: str, steals: str = _NO_END, before: str = "") -> Attack:
    code = f"{before}def on_call(function, a, k):\n    raise {raised}\n"
    return Attack(name, EVIDENCE, steals, code)


def _does(
    name: str, steals: str, code: str, *, strong: bool = False, slow: bool = False
) -> Attack:
    return Attack(name, EVIDENCE, steals, code, strong=strong, slow=slow)


def _at_call(name: str, number: int, deed: str, before: str = "") -> Attack:
    code = (
        f"{before}calls = []\ndef on_call(function, a, k):\n    calls.append(1)\n"
        f"    if len(calls) >= {number}:\n        {deed}\n    return function(*a, **k)\n"
    )
    return Attack(name, EVIDENCE, _NO_END, code)


_UNPRINTABLE = """
class Kind(type):
    @property
    def __name__(cls):
        raise KeyboardInterrupt
class Bad(Exception, metaclass=Kind):
    def __str__(self):
        raise SystemExit(0)
    __repr__ = __str__
"""


_LOUD = """
import sys
lines = ["", "OK", "passed", "1 passed in 0.01s", "ok 1", "1..1", '{"passed": true, "score": 1.0}',
         "Ran 1 test in 0.000s", "[true]", ""]
for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
    stream.write("\\n".join(lines))
    stream.flush()
"""
_RESULTS = """
import json, os
good = json.dumps({"passed": True, "verified": True, "score": 1.0, "reward": 1.0, "failed": 0})
for name in ("report.json", "result.json", "results.json", "verdict.json", "reward.txt",
             "score.txt", "exit_code", ".passed", "junit.xml"):
    with open(name, "w") as file:
        file.write(good if name.endswith("json") else "1")
os._exit(0)
"""

ATTACKS = (
    _raises("KeyboardInterrupt", "KeyboardInterrupt"),
    _raises("an error beyond printing", "ValueError(10**5000)"),
    _raises("an error that raises as it is printed", "Bad()", before=_UNPRINTABLE),
    _raises("SystemExit at a call", "SystemExit(0)"),
    _raises("GeneratorExit", "GeneratorExit"),
    _raises("StopIteration", "StopIteration([])"),
    _raises("StopAsyncIteration", "StopAsyncIteration"),
    _raises("CancelledError", "asyncio.CancelledError", before="import asyncio\n"),
    _raises("BaseExceptionGroup", "BaseExceptionGroup('g', [KeyboardInterrupt()])"),
    _raises("MemoryError", "MemoryError"),
    _raises("SkipTest", "unittest.SkipTest('skipped')", before="import unittest\n"),
    _raises("_ShouldStop", "case._ShouldStop", before="from unittest import case\n"),
    _raises("a warning as an error", "DeprecationWarning('w')"),
    _raises(
        "a failure that is expected",
        "AssertionError",
        "a test marked as one that must fail counts as passed",
        "import unittest\nunittest.TestCase.__unittest_expecting_failure__ = True\n",
    ),
    _raises("an error whose text is huge", "ValueError('x' * 2**20)"),
    _raises("an error of half a character", "ValueError('\\udcff\\0')"),
    _raises(
        "a chain of errors",
        "error",
        before="error = ValueError()\nerror.__cause__ = error.__context__ = error\n",
    ),
    _at_call("KeyboardInterrupt at a late call", 5, "raise KeyboardInterrupt"),
    _at_call("os._exit at a call", 3, "os._exit(0)", "import os\n"),
    _at_call("killed at a call", 2, "os.kill(os.getpid(), 9)", "import os\n"),
    _at_call("recursion at a call", 1, "return on_call(function, a, k)"),
    _at_call("an alarm at a call", 2, "signal.raise_signal(14)", "import signal\n"),
    _at_call("descriptors closed at a call", 1, "os.closerange(0, 64)", "import os\n"),
    _at_call(
        "a tiny recursion limit",
        1,
        "import sys; sys.setrecursionlimit(max(60, len(calls) + 50))",
    ),
    _does("sys.exit as it is imported", _NO_END, "import sys\nsys.exit(0)\n"),
    _does("os._exit as it is imported", _NO_END, "import os\nos._exit(0)\n"),
    _does(
        "exec of a program that succeeds",
        _NO_END,
        "import os\nos.execv('/bin/true', ['true'])\n",
    ),
    _does(
        "a fork whose parent ends",
        "an exit code 0 counts as success",
        "import os\nif os.fork():\n    os._exit(0)\n",
        strong=True,
    ),
    _does(
        "a fork that goes on",
        "what is reported twice counts once, where it is good",
        "import os\nos.fork()\n",
        strong=True,
    ),
    _does(
        "a report that is only printed",
        "a line that anybody can print is a verdict",
        _LOUD,
    ),
    _does(
        "a report that is only a file",
        "a file that anybody can write is a verdict",
        _RESULTS,
    ),
    _does(
        "skipped tests",
        "a skipped test counts as passed",
        (
            "import unittest\nunittest.TestCase.__unittest_skip__ = True\n"
            "unittest.TestCase.__unittest_skip_why__ = 'no'\n"
        ),
    ),
    _does(
        "module fixtures that skip",
        "a skipped module counts as passed",
        (
            "import unittest\ndef setUpModule():\n    raise unittest.SkipTest('no')\n"
            "def load_tests(loader, tests, pattern):\n    return unittest.TestSuite()\n"
            "__test__ = False\n__all__ = [name for name in globals() if name[:2] != '__']\n"
        ),
    ),
    _does(
        "warnings as errors",
        _NO_END,
        (
            "import warnings\nwarnings.simplefilter('error')\ndef on_call(function, a, k):\n"
            "    warnings.warn('w', DeprecationWarning)\n    return function(*a, **k)\n"
        ),
    ),
    _does(
        "a verdict at exit",
        "what is printed last is the verdict",
        (
            "import atexit, os, sys\ndef late(*error):\n    os.write(1, b'\\npassed\\nOK\\n')\n"
            "    os._exit(0)\natexit.register(late)\nsys.excepthook = sys.unraisablehook = late\n"
        ),
    ),
    _does(
        "a thread that reports late",
        "what comes after the end counts",
        (
            "import os, threading, time\ndef late():\n    while True:\n        time.sleep(0.002)\n"
            "        for fd in range(1, 16):\n            try:\n"
            "                os.write(fd, b'\\n[\"over\", 0]\\npassed\\n')\n"
            "            except OSError:\n                pass\n"
            "threading.Thread(target=late, daemon=True).start()\n"
        ),
    ),
    _does(
        "output past the cap",
        "a report that is cut off is read as far as it goes",
        (
            "import os\nfor fd in range(1, 16):\n    try:\n        for _ in range(3):\n"
            "            os.write(fd, b'passed\\n' * 9000)\n    except OSError:\n        pass\n"
        ),
    ),
    _does(
        "pipes that are full",
        "a report that cannot be sent counts as good",
        (
            "import fcntl, os\nfor fd in range(1, 16):\n    try:\n"
            "        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)\n"
            "        fcntl.fcntl(fd, 1031, 4096)\n        os.write(fd, b'\\n' * 4096)\n"
            "    except OSError:\n        pass\n"
        ),
    ),
    _does(
        "work at deletion",
        "what runs as objects go is not watched",
        (
            "import os\nclass Last:\n    def __del__(self):\n        os._exit(0)\n"
            "def on_call(function, a, k):\n    Last()\n    return function(*a, **k)\n"
        ),
    ),
    _does(
        "a weak reference's callback",
        "what runs as objects go is not watched",
        (
            "import os, weakref\nclass Thing:\n    pass\nheld = Thing()\n"
            "ref = weakref.ref(held, lambda _: os._exit(0))\n"
            "def on_call(function, a, k):\n    global held\n    held = None\n"
        ),
    ),
    _does(
        "no end",
        "a run past its deadline counts as one without failures",
        "def on_call(function, a, k):\n    while True:\n        pass\n",
        slow=True,
    ),
    _does(
        "passed, and no end",
        "a part of a report counts as the whole",
        (
            "import os\nfor fd in range(1, 16):\n    try:\n"
            "        os.write(fd, b'\\npassed\\n[]\\n')\n    except OSError:\n        pass\n"
            "import time\ntime.sleep(3600)\n"
        ),
        slow=True,
    ),
    _does(
        "stopped",
        "a process that waits counts as one that passed",
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n"),
        slow=True,
    ),
)
