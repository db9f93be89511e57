"""Honest work is never refused and never voided: right programs, however they are written."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from envs.code.debug.env import CodeDebug
from envs.code.debug.sandbox import judge
from envs.code.fn.env import CodeFn
from envs.code.fn.human_eval import Problem, problems
from envs.code.swe_lite.corpus import names, source
from envs.code.swe_lite.env import SweLite
from envs.code.swe_lite.grading import grade
from envs.code.swe_lite.table import Row, rows
from envs.code.vet import new_reach
from envs.code.vet_tables import HARMLESS
from envs.code.witness import witness_text
from envs.toolspec import render_call
from envs.types import Task
from sandboxes import SandboxConfig, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.backends import docker
from sandboxes.base import SandboxPool
from sandboxes.inside.settings import hidden_modules
from tests.daily import Day
from tests.envs.code.honest import CHANGES, change_module, forms

T = TypeVar("T")
RUN_TESTS, SUBMIT = render_call("run_tests"), render_call("submit")


@pytest.fixture(
    scope="module", params=["local", pytest.param("docker", marks=pytest.mark.docker)]
)
def backend(request: pytest.FixtureRequest) -> str:
    if reason := {"local": local, "docker": docker}[request.param].available():
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="module")
def pool(backend: str) -> Iterator[SandboxPool]:
    with open_pool(SandboxConfig(backend=backend, size=1)) as opened:
        yield opened


def all_of(check: Callable[[T], str], cases: Iterable[T]) -> list[str]:
    """What is wrong with each case that has something wrong."""
    return [fault for fault in map(check, cases) if fault]


def fault_of(pool: SandboxPool, name: str, text: str, what: object = "") -> str:
    """What the grader says against a version of a source's module; empty where it passes."""
    verdict = grade(pool, source(name), text, ())
    return "" if verdict.passed else f"{name} {what}: {verdict.detail}"


# Patches of one module

PLACE = "    text = str(abs(number))\n"
INSIDE = {
    "a loop over _": "for _ in range(3):\n    pass",
    "a variable _": "_ = 3",
    "two throw-away names": "_, _rest = divmod(number, 2)",
    "a variable named input": "input = number\nnumber = input",
    "a variable named type": "type = abs\nnumber = number if type(number) else 0",
    "a variable named __mine": "__mine = 3\nassert __mine == 3",
    "an exception named type": "try:\n    pass\nexcept ValueError as type:\n    raise type",
    "format": "assert '{}-{}'.format(1, 2) == '1-2'\nassert '{:>4}'.format(1) == '   1'",
    "format with names": "assert '{a!r} {b:{c}}'.format(a='x', b=1, c='>3') == \"'x'   1\"",
    "an f-string": "assert f'{number!r:>9}{size:0{1 + 1}d}'",
    "a formatting with %": "assert '%s %d' % ('a', 3) == 'a 3'",
    "import math": "import math\nassert math.floor(math.pi) == 3",
    "import re": "import re\nassert re.compile('[a-c]+').match('abc').group() == 'abc'",
    "from typing": "from typing import Optional\nanswer: Optional[int] = None",
    "itertools": "import itertools\nassert [*itertools.chain([1], [2])] == [1, 2]",
    "Counter": "from collections import Counter\nassert Counter('aab').most_common(1)[0][1] == 2",
    "deque": "from collections import deque\nassert deque([1, 2], maxlen=1).pop() == 2",
    "a walrus": "if (length := size) < 0:\n    return str(length)",
    "match": "match size:\n    case 0:\n        pass\n    case int(many):\n        assert many\n",
    "match of a class": "match number:\n    case int(real=0):\n        pass",
    "7**5000": "assert 7**5000 % 2 == 1",
    "print": "print(number, size, end='', flush=True)",
    "a function inside": "def inner(x):\n    return x\nnumber = inner(number)",
    "nonlocal": "n = 0\ndef more():\n    nonlocal n\n    n += 1\nmore()\nassert n == 1",
    "a lambda": "number = (lambda x, *, type=1: x * type)(number)",
    "comprehensions": "assert [x for x in range(3) if x] and {x: x for x in 'ab'} and {*'ab'}",
    "try and finally": "try:\n    number += 0\nfinally:\n    size += 0",
    "try and else": "try:\n    number += 0\nexcept TypeError as error:\n"
    "    raise ValueError(error) from None\nelse:\n    pass",
    "an assertion": "assert isinstance(number, int), f'got {number!r}'",
    "bytes": "assert b'a\\xff'.hex() == '61ff' and bytes([1]) + bytearray(2) and 'é'.encode()",
    "int.to_bytes": "assert int.from_bytes(abs(number).to_bytes(16, 'big'), 'big') == abs(number)",
    "complex": "assert (1 + 2j).imag == complex(1, 2).imag and abs(3 + 4j) == 5",
    "sorted by a key": "assert sorted(['bb', 'a'], key=len, reverse=True) == ['bb', 'a']",
    "methods of str": "assert 'a b'.title().split()[0].center(3).strip().zfill(2) == '0A'",
    "translate": "assert 'abc'.translate(str.maketrans('a', 'x')) == 'xbc'",
    "star-arguments": "assert max(*[1, 2], **{'key': abs}) == 2\nfirst, *others = 'abc'",
    "sets": "assert {1, 2} & {2} == frozenset([2]) and not {1} >= {2}",
    "hasattr and callable": "assert hasattr(number, 'real') and callable(len) and id(number)",
    "an iterator": "ones = iter([1])\nassert next(ones) == 1 and next(ones, None) is None",
    "a chain of comparisons": "assert 0 <= size < 10**9 != number",
    "deletion": "spare = [1, 2]\ndel spare[0], spare",
    "decimals": "from decimal import Decimal\nassert Decimal('0.1') + 1",
    "fractions": "from fractions import Fraction as F\nassert F(1, 2) + F(1, 2) == 1",
    "heapq": "import heapq\nheap = [3]\nheapq.heappush(heap, 1)\nassert heap[0] == 1",
    "a local import with another name": "import math as m\nassert m.sqrt(4) == 2",
}
"""In front of `PLACE`, the start of a function's body."""

MODULE = {
    "a private function": "def _helper(x):\n    return x\n_helper(1)",
    "a class with __init__": "class Pair:\n    '''See __init__.'''\n    def __init__(self, one):\n"
    "        self._one = one\n    def get(self):\n        return self._one\nPair(1).get()",
    "a class with input": "class Form:\n    def __init__(self, input, type=None):\n"
    "        self.input = input\n        self.type = type\nForm(1).type",
    "a context manager": "class Held:\n    def __enter__(self):\n        return self\n"
    "    def __exit__(self, *error):\n        return False\nwith Held() as held:\n    pass",
    "properties": "class Old:\n    _made = 0\n    @property\n    def made(self):\n"
    "        return self._made\n    @staticmethod\n    def f(x): return x\n"
    "    @classmethod\n    def g(cls): return cls()\nOld.g().made",
    "an exception": "class Wrong(ValueError):\n    def __str__(self):\n        return 'wrong'",
    "a main block": "if __name__ == '__main__':\n    print(to_roman(4))",
    "an argument named type": "def kind(type, input=None, *, open=0):\n    return type\nkind(1)",
    "a decorator": "def once(function):\n    def inner(*args, **kwargs):\n"
    "        return function(*args, **kwargs)\n    return inner\n@once\ndef f(): pass\nf()",
    "wraps": "from functools import wraps\ndef w(f):\n    @wraps(f)\n"
    "    def inner(*a): return f(*a)\n    return inner\nto_roman = w(to_roman)",
    "generators": "def evens():\n    yield from (x for x in range(9) if x % 2 == 0)\nsum(evens())",
    "recursion": "def depth(n):\n    return n and 1 + depth(n - 1)\ndepth(400)",
    "lru_cache": "import functools\nto_roman = functools.lru_cache(maxsize=None)(to_roman)",
    "cache": "from functools import cache\n@cache\ndef fib(n):\n"
    "    return n if n < 2 else fib(n - 1) + fib(n - 2)\nfib(90)",
    "a global counter": "_calls = 0\ndef count():\n    global _calls\n    _calls += 1\ncount()",
    "docstrings with special names": "def f():\n    '''Not __class__, nor __globals__.'''\nf()",
    "keyword-only arguments": "def f(a, /, b, *, c=1, **d): return a, b, c, d\nf(1, 2, c=3, e=4)",
    "a dataclass": "from dataclasses import dataclass, field\n@dataclass(order=True)\n"
    "class Point:\n"
    "    x: int = 0\n    tags: list = field(default_factory=list)\n"
    "    def __post_init__(self):\n        self.x += 1\nPoint() < Point(3)",
    "a namedtuple": "from collections import namedtuple\nP = namedtuple('P', 'x y')\nP(1, 2).x",
    "a NamedTuple": "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n"
    "    y: int = 2\nP(1).y",
    "annotations": "from __future__ import annotations\nfrom typing import Any\n"
    "def f(x: dict[str, Any] | None = None) -> list[int]: return []\nf()",
    "async": "async def f():\n    return 1",
    "names in unicode": "größe, 数 = 1, 2\ndef π(x): return x\nπ(größe)",
    "emoji": "SIGN = '🙂 é \\u2028'  # 🙂",
    "__all__": "__all__ = ['to_roman']",
}
"""In front of the first function, or behind the last where it calls what stands there."""

WHOLE: dict[str, Callable[[str], str]] = {
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "lone CR": lambda text: text.replace("\n", "\r"),
    "no newline at the end": lambda text: text.rstrip("\n"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "a coding line": lambda text: f"# -*- coding: utf-8 -*-\n{text}",
    "tabs": lambda text: text.replace("    ", "\t"),
    "form feeds": lambda text: text.replace("\n\n\n", "\n\n\f\n"),
    "comments alone": lambda text: f"# os.system('x')\n{text}# __class__ 🙂\n",
    "written anew": lambda text: ast.unparse(ast.parse(text)) + "\n",
    "typing": lambda text: text.replace(
        "def to_base(number, base):",
        "def to_base(number: int, base: int = 10) -> 'str':",
    ),
    "while for for": lambda text: text.replace(
        "    for digit in digits.lower():\n",
        "    left = list(digits.lower())\n    while left:\n        digit = left.pop(0)\n",
    ),
    "a repair with another algorithm": lambda text: text.replace(
        '    if number == 0:\n        return "0"\n    digits = []\n',
        "    digits = [] if number else ['0']\n",
    ),
}

BY_DESIGN = {
    "getattr": ("getattr(number, 'real')", ["getattr"]),
    "setattr": ("setattr(grouped, 'last', number)", ["setattr"]),
    "locals": ("locals()", ["locals"]),
    "globals": ("globals()", ["globals"]),
    "vars": ("vars()", ["vars"]),
    "type(x)": ("number = type(number)(number)", ["type"]),
    "open": ("open('log.txt', 'a').close()", ["open"]),
    "eval": ("number = eval('number')", ["eval"]),
    "exec": ("exec('pass')", ["exec"]),
    "input()": ("number = number or input()", ["input"]),
    "import os": ("import os", ["import os"]),
    "import random": ("import random", ["import random"]),
    "a special attribute": ("number.__class__", ["__class__"]),
    "the format of a variable": ("separator.format(number)", [".format"]),
    "an equality of its own": ("def __eq__(one, other): return True", ["def __eq__"]),
    "a private part of another": ("separator._parts", ["._parts"]),
}
"""What honest work may bring and the filter refuses by design, with what it names."""


def indent(lines: str, by: str = "    ") -> str:
    return "".join(f"{by}{line}\n" for line in lines.split("\n"))


def patch(lines: str) -> str:
    """The right module with lines in front of `PLACE`."""
    text = source("roman").text
    assert text.count(PLACE) == 1
    return text.replace(PLACE, indent(lines) + PLACE)


def with_statements(lines: str) -> str:
    """The right module with statements of its own."""
    text = source("roman").text
    if "to_roman" in lines:
        return f"{text}\n\n{lines}\n"
    if lines.startswith("from __future__"):
        start = text.index("\n\n") + 2
        return f"{text[:start]}{lines}\n{text[start:]}"
    return text.replace("\n\ndef to_roman", f"\n\n{lines}\n\n\ndef to_roman")


PATCHES = {
    **{f"inside: {name}": patch(lines) for name, lines in INSIDE.items()},
    **{f"module: {name}": with_statements(lines) for name, lines in MODULE.items()},
    **{name: change(source("roman").text) for name, change in WHOLE.items()},
}


def test_there_are_many_honest_patches_and_each_changes_the_module():
    assert len(PATCHES) >= 80
    assert len(set(PATCHES.values()) - {source("roman").text}) == len(PATCHES)


def test_every_honest_patch_passes(pool: SandboxPool, backend: str, day: Day):
    row = next(row for row in rows() if row.source == "roman")

    def check(name: str) -> str:
        verdict = grade(pool, row.package, PATCHES[name], row.failing)
        return "" if verdict.passed else f"{name}: {verdict.detail}"

    assert all_of(check, day.some(PATCHES, 15, backend)) == []


def test_every_name_that_is_harmless_may_be_imported():
    text = source("roman").text
    modules = {
        name: allowed for name, allowed in HARMLESS.items() if name != "__future__"
    }
    lines = [
        line
        for place, (module, allowed) in enumerate(modules.items())
        for name in allowed
        for line in (
            f"from {module} import {name} as _{place}_{name}",
            f"import {module} as m{place}\nm{place}.{name}",
            f"import {module}\n{module}.{name}",
        )
    ]
    assert new_reach(text, "\n".join([*lines, text])) == []
    for module, allowed in modules.items():
        line = f"from {module} import {', '.join(allowed)}"
        assert new_reach(text, f"{line}\n{text}") == []


def test_every_module_that_is_harmless_can_be_had(pool: SandboxPool):
    lines = [
        f"from {module} import {name}"
        for module, allowed in HARMLESS.items()
        for name in allowed
        if module != "__future__"
    ]
    assert (
        fault_of(pool, "intervals", "\n".join([*lines, source("intervals").text])) == ""
    )


def begin(env: SweLite, name: str) -> tuple[Row, Task]:
    """An episode of level 1 about a bug of `grouped`."""
    for split in env.splits:
        for task in env.tasks(split, 1):
            row = Row.from_json(task.payload)
            one_line = len(row.numbers) == 1 and row.function == "grouped"
            if row.source == name and one_line and not row.renamed:
                env.reset(options={"split": split, "level": 1, "task_id": task.id})
                return row, task
    raise AssertionError(f"no bug of {name}")


@pytest.mark.parametrize("name", BY_DESIGN)
def test_what_is_refused_by_design_is_named_and_can_be_taken_back(
    pool: SandboxPool, name: str
):
    line, reach = BY_DESIGN[name]
    assert new_reach(source("roman").text, patch(line)) == reach
    env = SweLite(pool)
    row, task = begin(env, "roman")
    number = row.broken.split("\n").index(PLACE.rstrip("\n")) + 1
    text = f"    {line}\n{PLACE}"
    env.step(render_call("edit", line=number, text=text))
    reply, _, terminated, truncated, info = env.step(RUN_TESTS)
    assert reply == f"refused: the change brings in {reach[0]}"
    assert not terminated
    assert not truncated
    assert info["verified"] is None
    env.step(render_call("edit", line=number, text="    pass"))
    for turn in env.oracle(task)[:-2]:
        call = turn.replace(
            f'"line": {row.numbers[0]},', f'"line": {_line_now(row, number)},'
        )
        env.step(call)
    assert env.step(RUN_TESTS)[0] == "all passed"
    assert env.step(SUBMIT)[1:3] == (1.0, True)
    env.close()


def _line_now(row: Row, number: int) -> int:
    """The bug's line after one more line has come in at `number`."""
    return row.numbers[0] + (row.numbers[0] > number)


# Whole modules, changed

SOURCES = tuple(name for name in names() if witness_text(name))
SLOW = frozenset(
    [
        *(
            "configparser",
            "csv",
            "fileinput",
            "modulefinder",
            "optparse",
            "parse",
            "plistlib",
        ),
        *("rlcompleter", "sched", "zipapp"),
    ]
)
"""Sources whose tests take half a second and more."""
QUICK = tuple(name for name in SOURCES if name not in SLOW)
PUBLIC = frozenset(["toposort"])
"""Sources with a test that each public name stands in `__all__`: no import is wanted there."""
LAST = ("other_names", "line_forms", "comments", "line_ends")


@st.composite
def honest_modules(draw: st.DrawFn) -> tuple[str, tuple[str, ...], int]:
    """A source, up to four changes of its right module, and a seed."""
    name = draw(st.sampled_from(QUICK))
    allowed = sorted(
        set(CHANGES) - ({"imports", "annotations"} if name in PUBLIC else set())
    )
    changes = draw(st.sets(st.sampled_from(allowed), min_size=1, max_size=4))
    order = sorted(changes, key=lambda name: LAST.index(name) if name in LAST else -1)
    return name, tuple(order), draw(st.integers(0, 1000))


@pytest.mark.slow
def test_right_modules_pass_however_they_are_written(pool: SandboxPool, day: Day):
    @seeded(day.seed)
    @settings(
        max_examples=day.count(15, 120),
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(honest_modules())
    def each_passes(case: tuple[str, tuple[str, ...], int]) -> None:
        name, changes, number = case
        text = change_module(source(name).text, changes, number)
        assert fault_of(pool, name, text, f"{changes} {number}") == ""

    each_passes()


INNOCENT = {
    "a number of digits": "def f(x): return '{:.2f}'.format(x)",
    "a private attribute": "class A:\n    def __init__(self): self.__count = 0",
    "a private method": "class A:\n    def __f(self): return 1\n    def g(self): return self.__f()",
    "an annotated attribute": "class A:\n    _one: int = 1\n    def f(self): return self._one",
    "a version": "__version__ = '1.0'",
    "two underscores in a text": "RULE = '__'\nNAME = 'snake__case'",
    "a variable of the module": "input = [3]\nprint(input)",
}
"""Honest lines that a simpler filter would take for ways out."""


@pytest.mark.parametrize("name", INNOCENT)
def test_what_only_looks_like_a_way_out_is_let_be(name: str):
    text = source("roman").text
    assert new_reach(text, f"{text}\n{INNOCENT[name]}\n") == []


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_let_be(change: str):
    for name in ("roman", "intervals", "getopt", "shlex"):
        text = source(name).text
        for seed in range(3):
            assert new_reach(text, change_module(text, [change], seed)) == [], (
                name,
                seed,
            )


# Repairs of one line


def broken_lines(name: str) -> list[int]:
    """Numbers of the lines that rows of the source break."""
    return sorted({n for row in rows() if row.source == name for n in row.numbers})


def repair_all(
    name: str, rng: random.Random, share: float = 1.0
) -> tuple[str, list[str]]:
    """The right module with an equal form of each line that a row breaks, and these lines."""
    text = source(name).text
    lines, notes = text.split("\n"), []
    for number in broken_lines(name):
        if rng.random() < share and (choices := forms(text, number)):
            by_name = {form.name: form for form in choices}
            form = by_name[rng.choice(sorted(by_name))]
            lines[number - 1] = form.line
            notes.append(f"{number} {form.name}: {form.line.strip()}")
    return "\n".join(lines), notes


def test_every_row_has_a_repair_that_is_written_otherwise():
    for name in ("roman", "calc", "csv", "semver"):
        text = source(name).text
        assert all(len(forms(text, number)) >= 2 for number in broken_lines(name))


def test_repairs_that_are_written_otherwise_pass(
    pool: SandboxPool, backend: str, day: Day
):
    """All lines that any row of a source breaks, each in an equal form, at once."""

    def check(name: str) -> str:
        text, notes = repair_all(name, random.Random(name))
        return fault_of(pool, name, text, notes)

    assert all_of(check, day.some(SOURCES, len(SOURCES) // 6, backend)) == []


def test_no_repair_of_one_line_is_refused():
    for name in SOURCES[::8]:
        text = source(name).text
        lines = text.split("\n")
        rng = random.Random(name)
        for number in rng.sample(broken_lines(name), min(5, len(broken_lines(name)))):
            for form in forms(text, number)[:12]:
                one = "\n".join([*lines[: number - 1], form.line, *lines[number:]])
                assert new_reach(text, one) == [], (name, number, form)


# HumanEval

HIDDEN = frozenset(hidden_modules())
EQUAL = """
import collections, fractions, functools, sys
_DEEP = [0]
class _Text(str): pass
class _List(list): pass
class _Whole(int): pass
class _Real(float): pass
_Pair = collections.namedtuple("_Pair", "a b")
def _equal(value, way):
    if isinstance(value, bool):
        return int(value) if way else value
    if isinstance(value, int):
        return float(value) if way and abs(value) < 2 ** 50 else _Whole(value)
    if isinstance(value, float):
        return int(value) if way and value == int(value) else _Real(value)
    if isinstance(value, str):
        return _Text(value)
    if isinstance(value, list):
        return _List(_equal(one, way) for one in value)
    if isinstance(value, dict):
        return collections.Counter(value) if way else collections.OrderedDict(value)
    if isinstance(value, tuple):
        parts = [_equal(one, way) for one in value]
        return _Pair(*parts) if len(parts) == 2 else tuple(parts)
    return value
def _other(function, way):
    @functools.wraps(function)
    def inner(*arguments):
        _DEEP[0] += 1
        try:
            value = function(*arguments)
        finally:
            _DEEP[0] -= 1
        return value if _DEEP[0] else _equal(value, way)
    return inner
"""
STANDARD = (
    *(
        "abc",
        "argparse",
        "array",
        "asyncio",
        "base64",
        "binascii",
        "bisect",
        "calendar",
        "cmath",
    ),
    *(
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
    ),
    *(
        "fractions",
        "functools",
        "gc",
        "hashlib",
        "heapq",
        "html",
        "inspect",
        "io",
        "itertools",
    ),
    *(
        "json",
        "locale",
        "logging",
        "math",
        "numbers",
        "operator",
        "os",
        "pathlib",
        "pickle",
    ),
    *(
        "platform",
        "pprint",
        "queue",
        "random",
        "re",
        "secrets",
        "statistics",
        "string",
        "struct",
    ),
    *(
        "subprocess",
        "sys",
        "tempfile",
        "textwrap",
        "threading",
        "time",
        "timeit",
        "traceback",
    ),
    *(
        "types",
        "typing",
        "unicodedata",
        "unittest",
        "uuid",
        "warnings",
        "weakref",
        "zlib",
    ),
)


def with_types(problem: Problem) -> str:
    return (
        "from __future__ import annotations\nimport typing as t\nfrom typing import *\n"
        f"Answer: t.TypeAlias = 'int | str'\n{problem.prompt}{problem.body}\n"
        f"{problem.entry}.__annotations__['return'] = t.Any\n"
    )


def with_loop(problem: Problem) -> str:
    return f"{problem.prompt}    for _ in range(1): pass\n{problem.body}"


def with_imports(problem: Problem) -> str:
    lines = [f"import {name}" for name in STANDARD]
    return "\n".join([*lines, problem.prompt + problem.body])


def with_helper(problem: Problem) -> str:
    own = f"_{problem.entry}_helper"
    return (
        f"{problem.prompt}{problem.body}\n"
        f"{own} = {problem.entry}\ndef {problem.entry}(*args, **kwargs):\n"
        f"    def inner(): return {own}(*args, **kwargs)\n    return inner()\n"
    )


def with_class(problem: Problem) -> str:
    return (
        f"{problem.prompt}{problem.body}\n"
        "class Solution:\n    __slots__ = ('_calls', '__dict__')\n"
        "    def __init__(self): self._calls = 0; self.__count = 0\n"
        f"    def __call__(self, *args, _f={problem.entry}):\n"
        "        self._calls += 1; self.__count += 1\n        return _f(*args)\n"
        f"{problem.entry} = Solution()\n"
    )


def with_main(problem: Problem) -> str:
    calls = "".join(f"    print({call})\n" for call in problem.examples())
    return (
        f"__version__ = '1.0'\n__all__ = ['{problem.entry}']\n{problem.prompt}{problem.body}\n"
        f"print('loaded', end='')\nif __name__ == '__main__':\n    import doctest\n{calls}"
        "    doctest.testmod()\n"
    )


def with_recursion_limit(problem: Problem) -> str:
    deep = "def _deep(n): return n and _deep(n - 1)\n_deep(5000)\n"
    return f"import sys\nsys.setrecursionlimit(10_000)\n{deep}{problem.prompt}{problem.body}"


def with_cache(problem: Problem) -> str:
    """Lists cannot be keys, so they are called for by their text."""
    return (
        "import copy, functools\n"
        f"{problem.prompt}{problem.body}\n_CACHE = {{}}\ndef cached(function):\n"
        "    @functools.wraps(function)\n    def inner(*args):\n        key = repr(args)\n"
        "        if key not in _CACHE:\n            _CACHE[key] = function(*args)\n"
        "        return copy.deepcopy(_CACHE[key])\n    return inner\n"
        f"{problem.entry} = cached({problem.entry})\n@functools.lru_cache(maxsize=None)\n"
        "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nfib(50)\n"
    )


def equal_first(problem: Problem) -> str:
    code = f"{EQUAL}{problem.prompt}{problem.body}\n"
    return f"{code}{problem.entry} = _other({problem.entry}, False)\n"


def equal_second(problem: Problem) -> str:
    code = f"{EQUAL}{problem.prompt}{problem.body}\n"
    return f"{code}{problem.entry} = _other({problem.entry}, True)\n"


def with_windows_ends(problem: Problem) -> str:
    return "\ufeff" + (problem.prompt + problem.body).rstrip("\n").replace("\n", "\r\n")


def with_new_layout(problem: Problem) -> str:
    return ast.unparse(ast.parse(problem.prompt + problem.body))


def with_noise(problem: Problem) -> str:
    return (
        "import sys, threading, warnings, logging\nwarnings.warn('x')\nlogging.error('y')\n"
        "print('z' * 1000); print('w', file=sys.stderr)\n"
        "t = threading.Thread(target=print); t.start(); t.join()\n"
        f"getattr(sys, 'version'); eval('1'); type(1); open('note.txt', 'w').close()\n"
        f"{problem.prompt}{problem.body}"
    )


WRAPPINGS = (
    *(with_loop, with_types, with_imports, with_helper, with_class, with_main),
    *(
        with_recursion_limit,
        with_cache,
        equal_first,
        equal_second,
        with_windows_ends,
        with_new_layout,
        with_noise,
    ),
)


def accepts(problem: Problem, code: str) -> bool:
    """Whether HumanEval's own check, in one process with the code, accepts it."""
    space: dict = {}
    exec(code, space)
    check: dict = {}
    exec(problem.check(), check)
    check[problem.entry] = space[problem.entry]
    try:
        check["check"](space[problem.entry])
    except AssertionError:
        return False
    return True


def reply_to(env: CodeFn, problem: Problem, code: str, level: int = 1) -> str:
    """What the environment says against code; empty where it passes."""
    options = {"split": "ood/domain", "level": level}
    env.reset(options={**options, "task_id": f"ood/domain/{level}/{problem.name}"})
    reply = env.step(render_call("run", code=code))[0]
    detail, reward, over, *_ = env.step(SUBMIT)
    return "" if reward == 1.0 and over else f"{problem.name}: {reply!r}, {detail!r}"


def wrap(problem: Problem, place: int) -> tuple[str, str]:
    """One of the wrappings that the problem's own check accepts, by turns, and its name."""
    for step in range(len(WRAPPINGS)):
        wrapping = WRAPPINGS[(place + step) % len(WRAPPINGS)]
        code = wrapping(problem)
        if not wrapping.__name__.startswith("equal") or accepts(problem, code):
            return wrapping.__name__, code
    raise AssertionError(problem.name)


def faults_of_solutions(
    pool: SandboxPool, cases: Sequence[tuple[int, Problem]]
) -> list[str]:
    def check(case: tuple[int, Problem]) -> str:
        place, problem = case
        name, code = wrap(problem, place)
        fault = reply_to(CodeFn(pool), problem, code)
        return fault and f"{name}: {fault}"

    return all_of(check, cases)


def test_solutions_of_humaneval_pass_however_they_are_wrapped(pool: SandboxPool):
    """Every wrapping, on three problems each."""
    some = list(problems().values())[:: len(problems()) // (3 * len(WRAPPINGS))]
    assert len(some) >= 3 * len(WRAPPINGS)
    assert faults_of_solutions(pool, [*enumerate(some)]) == []


@pytest.mark.slow
def test_all_solutions_of_humaneval_pass_however_they_are_wrapped(
    pool: SandboxPool, backend: str, day: Day
):
    """Every problem, in a wrapping by turns."""
    cases = list(enumerate(problems().values(), start=1))
    assert len(cases) == 164
    assert faults_of_solutions(pool, day.some(cases, 20, backend)) == []


def test_what_a_check_accepts_in_other_types_passes(pool: SandboxPool):
    """A `Counter` for a dictionary, whole floats for numbers, subclasses."""
    counted = problems()["HumanEval/111"]
    some = [counted, *list(problems().values())[::11]]
    pairs = [(one, way(one)) for one in some for way in (equal_first, equal_second)]
    pairs_that_hold = [
        (problem, code) for problem, code in pairs if accepts(problem, code)
    ]
    assert len(pairs_that_hold) > len(pairs) // 2
    assert counted in [problem for problem, _ in pairs_that_hold]
    assert all_of(lambda pair: reply_to(CodeFn(pool), *pair), pairs_that_hold) == []


# code_debug


def fault_of_repair(env: CodeDebug, task: Task, rng: random.Random) -> str:
    """What the environment says against right lines in equal forms; empty where they pass."""
    env.reset(options={"split": task.split, "level": task.level, "task_id": task.id})
    right = list(task.payload["right"])
    reward, notes = 0.0, []
    for number, _, _ in task.payload["bugs"]:
        choices = [
            one
            for one in forms("\n".join(right) + "\n", number)
            if len(one.line) <= 200
        ]
        form = rng.choice(choices)
        notes.append(f"{form.name}: {form.line.strip()}")
        reply, reward, *_ = env.step(render_call("fix", line=number, text=form.line))
    return "" if reward == 1.0 else f"{task.id} {notes}: {reply}"


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_right_lines_of_scripts_pass_however_they_are_written(
    pool: SandboxPool, level: int, day: Day
):
    cases = [(split, place) for split in CodeDebug.splits for place in range(0, 40, 8)]

    def check(case: tuple[str, int]) -> str:
        split, place = case
        env = CodeDebug(pool)
        return fault_of_repair(
            env, env.tasks(split, level)[place], random.Random(f"{split} {place}")
        )

    assert all_of(check, day.some(cases, 6)) == []


def test_all_right_lines_of_a_script_may_be_written_otherwise_at_once(
    pool: SandboxPool,
):
    """With names, helpers and loops of the author's own."""

    def check(place: int) -> str:
        env = CodeDebug(pool)
        task = env.tasks("train", 4)[place]
        right = "\n".join(task.payload["right"]) + "\n"
        text = change_module(
            right, ["helpers", "while_loops", "variables", "throw_away"], place
        )
        verdict = judge(pool, task.payload, text.split("\n"))
        return "" if verdict.passed else f"{task.id}: {verdict.hidden}"

    assert all_of(check, range(0, 60, 6)) == []
