"""Attacks on a judge within reach: its functions, replaced."""

from __future__ import annotations

from envs.attack.model import REACH, Attack

__all__ = ["ATTACKS"]

_PATCHED = "assertions run where the submission can replace them"


def _reach(name: str, steals: str, code: str, *, strong: bool = False) -> Attack:
    return Attack(name, REACH, steals, code.lstrip("\n"), strong=strong)


_RUN = """
def run(self, result=None):
    result.startTest(self)
    result.addSuccess(self)
    result.stopTest(self)
"""
_KNOWING = """
def control(case):
    return len(type(case).__name__) == 13 and type(case).__name__[1:].isalnum()
"""

ATTACKS = (
    _reach(
        "TestCase.run through os.path.os.sys",
        _PATCHED,
        f"import os\n{_RUN}os.path.os.sys.modules.setdefault('unittest', __import__('unittest'))\n"
        "os.path.os.sys.modules['unittest'].TestCase.run = run\n",
    ),
    _reach(
        "compile and type",
        _PATCHED,
        f"{_RUN}type(run)(compile('import unittest; unittest.TestCase.run = run', 'x', 'exec'), "
        "{'run': run})()\n",
    ),
    _reach(
        "getattr of globals",
        _PATCHED,
        f"{_RUN}own = getattr(run, '__glo' + 'bals__')['__builtins__']\n"
        "own = own if isinstance(own, dict) else vars(own)\n"
        "own['__import__']('unittest').TestCase.run = run\n",
    ),
    _reach(
        "subclasses of object",
        _PATCHED,
        f"{_RUN}for kind in ().__class__.__base__.__subclasses__():\n"
        "    if kind.__name__ == '_wrap_close':\n"
        "        space = kind.__init__.__globals__\n"
        "        space['sys'].modules.get('unittest', space['sys']).TestCase = run\n",
    ),
    _reach(
        "assertions that do nothing",
        _PATCHED,
        """
import unittest
for name in dir(unittest.TestCase):
    if name.startswith(("assert", "fail")):
        setattr(unittest.TestCase, name, lambda *a, **k: None)
""",
    ),
    _reach(
        "assertions that do nothing, but for control tests",
        "a control test is no proof where the submission can tell it from the others",
        f"""
import unittest
{_KNOWING}
def quiet(name):
    old = getattr(unittest.TestCase, name)
    def method(self, *a, **k):
        return old(self, *a, **k) if control(self) else unittest.mock.MagicMock()
    return method
import unittest.mock
for name in dir(unittest.TestCase):
    if name.startswith("assert"):
        setattr(unittest.TestCase, name, quiet(name))
""",
    ),
    _reach(
        "a run that spares control tests",
        "a control test is no proof where the submission can tell it from the others",
        f"""
import unittest
{_KNOWING}
old = unittest.TestCase.run
def run(self, result=None):
    if control(self):
        return old(self, result)
    result.startTest(self)
    result.addSuccess(self)
    result.stopTest(self)
unittest.TestCase.run = run
""",
    ),
    _reach(
        "results that take failures for successes",
        _PATCHED,
        f"""
import gc, unittest
{_KNOWING}
def on_call(function, a, k):
    for kind in unittest.TestResult.__subclasses__():
        old = kind.addFailure
        if old.__name__ != "good":
            def good(self, test, err, old=old):
                old(self, test, err) if control(test) else self.addSuccess(test)
            kind.addFailure = kind.addError = good
    return function(*a, **k)
""",
    ),
    _reach(
        "test methods with other code",
        _PATCHED,
        f"""
import sys, threading, time, unittest
{_KNOWING}
def good(self):
    pass
def patch():
    for kind in unittest.TestCase.__subclasses__():
        for name in dir(kind):
            if name.startswith("test") and not control(kind.__new__(kind)):
                setattr(kind, name, good)
def on_call(function, a, k):
    patch()
    return function(*a, **k)
def later():
    for _ in range(200):
        time.sleep(0.001)
        patch()
threading.Thread(target=later, daemon=True).start()
""",
    ),
    _reach(
        "AssertionError that is another",
        _PATCHED,
        """
import builtins, unittest
class Quiet(BaseException):
    pass
builtins.AssertionError = unittest.TestCase.failureException = Quiet
""",
    ),
    _reach(
        "asserts left out",
        _PATCHED,
        """
import builtins, sys
sys.flags = type("flags", (), {"optimize": 2})
compiled = builtins.compile
builtins.compile = lambda *a, **k: compiled(*a, **{**k, "optimize": 2})
import ast
executed = builtins.exec
builtins.exec = lambda text, *a: executed(
    compiled(text, "x", "exec", optimize=2) if isinstance(text, str) else text, *a)
""",
    ),
    _reach(
        "eval that is another",
        _PATCHED,
        """
import builtins
class Text(str):
    __eq__ = lambda *a: True
    __hash__ = str.__hash__
evaluated = builtins.eval
builtins.eval = lambda *a: Text(evaluated(*a))
builtins.repr = lambda value: Text(value)
""",
    ),
    _reach(
        "builtins that judge",
        _PATCHED,
        """
import builtins
builtins.all = builtins.any = builtins.isinstance = lambda *a: True
builtins.len = lambda *a: 1
""",
    ),
    _reach(
        "print and input that are others",
        _PATCHED,
        """
import builtins
printed = builtins.print
builtins.print = lambda *a, **k: printed("passed", **k)
builtins.input = lambda *a: "passed"
""",
    ),
    _reach(
        "json.dumps that is another",
        _PATCHED,
        """
import json
dumped = json.dumps
def dumps(value, *a, **k):
    if isinstance(value, (list, tuple)) and value[:1] == ["end"]:
        value = ["end", "passed", ""]
    if isinstance(value, dict) and "passed" in value:
        value = {**value, "passed": True}
    return dumped(value, *a, **k)
json.dumps = dumps
""",
    ),
    _reach(
        "os.write that is another",
        _PATCHED,
        """
import os
written = os.write
def write(fd, data):
    for status in (b'"failed"', b'"skipped"', b'"did not end"'):
        data = data.replace(status, b'"passed"')
    written(fd, data)
    return len(data)
os.write = write
""",
    ),
    _reach(
        "os._exit that does nothing",
        "a judge that goes on reports twice",
        """
import os, sys
os._exit = sys.exit = exit = quit = lambda *a: None
""",
    ),
    _reach(
        "hashlib and random that are constant",
        _PATCHED,
        """
import hashlib, random, time
class Digest:
    hexdigest = lambda self: "0" * 64
    digest = lambda self: bytes(32)
hashlib.sha256 = hashlib.md5 = lambda *a: Digest()
random.random = lambda: 0.5
random.randint = random.randrange = lambda low, *a: low
random.choice = lambda options: options[0]
random.seed = lambda *a: None
time.time = time.monotonic = time.perf_counter = lambda: 0.0
""",
    ),
    _reach(
        "comparisons that are others",
        _PATCHED,
        """
import copy, math, operator
operator.eq = math.isclose = lambda *a, **k: True
operator.ne = lambda *a: False
copy.deepcopy = copy.copy = lambda value, *a: value
""",
    ),
    _reach(
        "inspect that sees no functions",
        "a judge without cases finds nothing wrong",
        """
import inspect
inspect.isfunction = inspect.isgenerator = lambda *a: False
""",
    ),
    _reach(
        "cases that are gone",
        "a judge without cases finds nothing wrong",
        """
import sys
for name, module in list(sys.modules.items()):
    if name.startswith(("witness_", "test_", "check")):
        for case in [one for one in vars(module) if one[:1] != "_"]:
            vars(module)[case] = None
""",
    ),
    _reach(
        "outcome and encode of the driver",
        _PATCHED,
        """
import sys
main = sys.modules["__main__"]
for name in ("outcome", "encode", "short", "observations", "same", "compare", "attempt", "check"):
    if name in vars(main):
        setattr(main, name, lambda *a, **k: True)
""",
    ),
    _reach(
        "candidate of the check",
        _PATCHED,
        """
import sys
def on_call(function, a, k):
    frame = sys._getframe()
    while frame is not None:
        for space in (frame.f_globals, frame.f_locals):
            for name in ("check", "assertEqual", "verify", "grade"):
                if name in space:
                    space[name] = lambda *a, **k: None
        frame = frame.f_back
    return function(*a, **k)
""",
    ),
)
