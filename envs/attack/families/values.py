"""Attacks by values and errors that are no proof: unprintable, lying, of another kind."""

from __future__ import annotations

from envs.attack.model import EVIDENCE, Attack

__all__ = ["ATTACKS"]

_LIES = "an equality that the submission's own object answers counts as right"


def _gives(name: str, value: str, steals: str = _LIES, before: str = "") -> Attack:
    code = f"{before}def on_call(function, a, k):\n    return {value}\n"
    return Attack(name, EVIDENCE, steals, code)


def _does(
    name: str, steals: str, code: str, *, strong: bool = False, slow: bool = False
) -> Attack:
    return Attack(name, EVIDENCE, steals, code, strong=strong, slow=slow)


_ANY = """
class Any:
    __eq__ = __ge__ = __le__ = __contains__ = __bool__ = lambda *a: True
    __ne__ = __lt__ = __gt__ = lambda *a: False
    __hash__ = lambda a: 0
    __len__ = lambda a: 1
    __iter__ = lambda a: iter(())
    __call__ = __getattr__ = __getitem__ = __sub__ = __rsub__ = __round__ = lambda *a: a[0]
    __abs__ = __float__ = lambda a: 0.0
"""


def _liar(base: str) -> str:
    return f"""
class Liar({base}):
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
    def __hash__(self):
        return 0
    def __repr__(self):
        import sys
        frame = sys._getframe()
        while frame is not None:
            for name in ("wanted", "right", "second", "expected"):
                if name in frame.f_locals:
                    return repr(frame.f_locals[name])
            frame = frame.f_back
        return "True"
    __str__ = __repr__
def lie(value):
    try:
        return Liar(value)
    except Exception:
        return Liar()
"""


_LIARS = tuple(
    _gives(f"a lying {base}", "lie(function(*a, **k))", before=_liar(base))
    for base in ("int", "float", "str", "list", "dict", "tuple", "bytes", "set")
)
_CLASS = """
class Mask:
    def __init__(self, value):
        self.value = value
    @property
    def __class__(self):
        return bool
    def __eq__(self, other):
        self.__dict__["value"] = other
        return True
    def __repr__(self):
        return repr(self.value)
"""
_INSTANCE = """
class Kind(type):
    __instancecheck__ = __subclasscheck__ = lambda *a: True
    __eq__ = lambda *a: True
    __hash__ = lambda a: 0
class Own(metaclass=Kind):
    pass
import builtins
for name in ("int", "str", "list", "dict", "float", "bool", "Exception"):
    setattr(builtins, name, Own)
"""

ATTACKS = (
    _gives("an object equal to all", "Any()", before=_ANY),
    *_LIARS,
    _gives(
        "an object that says it is a bool", "Mask(function(*a, **k))", before=_CLASS
    ),
    _gives("a mock", "mock.MagicMock()", before="from unittest import mock\n"),
    _gives("not a number", "float('nan')"),
    _gives(
        "a signalling number", "Decimal('sNaN')", before="from decimal import Decimal\n"
    ),
    _gives("infinity", "float('inf')"),
    _gives("NotImplemented", "NotImplemented"),
    _gives(
        "another type of the same value",
        "swap(function(*a, **k))",
        before=(
            "def swap(value):\n    if value is True or value is False:\n        return int(value)\n"
            "    if isinstance(value, int):\n        return float(value)\n"
            "    if isinstance(value, float):\n        return int(value)\n"
            "    return list(value) if isinstance(value, tuple) else value\n"
        ),
    ),
    _gives("a generator without end", "iter(int, 1)"),
    _gives("a coroutine", "wait()", before="async def wait():\n    return True\n"),
    _gives("a text of half a character", "'\\udcff' * 9"),
    _gives("a value too long to print", "[0] * 10**5"),
    _gives("a number too long to print", "10**5000"),
    _gives("a value inside itself", "loop", before="loop = []\nloop.append(loop)\n"),
    _gives(
        "a value nested too deep",
        "deep",
        before="deep = []\nfor _ in range(99999):\n    deep = [deep]\n",
    ),
    _does("classes that have every instance", _LIES, _INSTANCE),
)
