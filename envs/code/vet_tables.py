"""What `vet.py` refuses, and what it lets be. Names alone; the reading is there.

Standard library only: the graders of exported tasks run this file in their containers.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Mapping
from types import ModuleType

__all__ = ["ATTRIBUTES_OUT", "DUNDERS", "HARMLESS", "WAYS_OUT"]

WAYS_OUT = frozenset(
    [
        *("eval", "exec", "compile"),
        *("open", "input", "breakpoint", "exit", "quit", "help"),
        *("globals", "locals", "vars", "getattr", "setattr", "delattr"),
        *("type", "memoryview"),
    ]
)
"""Builtins that run text, open files, or find things by their name."""

ATTRIBUTES_OUT = frozenset(
    [
        # A generator that runs knows who called it, and so the tests.
        *("gi_frame", "cr_frame", "ag_frame", "tb_frame"),
        *("f_back", "f_code", "f_locals", "f_globals", "f_builtins"),
        *("gi_code", "cr_code", "ag_code", "co_consts"),
        # Modules that other modules hold as attributes.
        *("os", "sys", "builtins", "modules", "unittest", "importlib", "inspect"),
        *("gc", "ctypes", "posix", "subprocess", "_os", "_sys"),
        # They follow the attributes that a text names: "{0.gi_frame}".format(x).
        *("format", "format_map", "vformat"),
    ]
)
"""Attributes that lead from a value to the tests, whatever the value is."""

DUNDERS = frozenset(
    [
        *("__init__", "__post_init__", "__repr__", "__str__", "__len__"),
        *("__iter__", "__next__", "__enter__", "__exit__", "__call__"),
        *("__contains__", "__getitem__", "__setitem__", "__lt__", "__add__"),
        *("__name__", "__doc__", "__slots__", "__all__", "__debug__"),
        *("__version__", "__author__", "__license__", "__match_args__"),
    ]
)
"""Special names that a class or a module of its own may have, and that lead nowhere."""


def _public(module: ModuleType) -> tuple[str, ...]:
    return tuple(name for name in vars(module) if not name.startswith("_"))


# Not its `Formatter`, which follows attributes as `format` does.
_CHARACTER_CLASSES = tuple(
    name
    for name in _public(string)
    if name.startswith(("ascii", "dig", "hex", "oct", "pun"))
)
_RE_FUNCTIONS = (
    *("compile", "escape", "findall", "finditer", "fullmatch"),
    *("match", "search", "split", "sub", "subn"),
)
_RE_FLAGS = ("IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE", "ASCII", "I", "M", "S")
_TYPING = (
    *("Any", "Callable", "ClassVar", "Dict", "Final", "Generator", "Generic"),
    *("Iterable", "Iterator", "List", "Literal", "Mapping", "NamedTuple"),
    *("NoReturn", "Optional", "Sequence", "Set", "Tuple", "Type", "TypeVar"),
    *("Union", "cast"),
)
_OS_PATH = (
    *("basename", "dirname", "exists", "isdir", "isfile"),
    *("join", "split", "splitext"),
)

HARMLESS: Mapping[str, tuple[str, ...]] = {
    "bisect": ("bisect", "bisect_left", "bisect_right", "insort"),
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "collections.abc": ("Callable", "Iterable", "Iterator", "Mapping", "Sequence"),
    "copy": ("copy", "deepcopy"),
    "dataclasses": ("dataclass", "field", "replace"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "functools": ("cache", "cmp_to_key", "lru_cache", "partial", "reduce", "wraps"),
    "heapq": ("heapify", "heappop", "heappush", "nlargest", "nsmallest"),
    "itertools": _public(itertools),
    "math": _public(math),
    "operator": ("add", "itemgetter", "mul", "neg", "sub"),
    "os.path": _OS_PATH,
    "re": (*_RE_FUNCTIONS, *_RE_FLAGS),
    "statistics": ("fmean", "mean", "median"),
    "string": _CHARACTER_CLASSES,
    "typing": _TYPING,
    "__future__": ("annotations",),
}
"""Module -> names of it that any submission may use, and what leads to no other module."""
