"""What a repair may not reach for: the ways from a module to the tests that judge it.

Tests run in the process that imports the submission, so code there could patch the test runner or
write to its pipe. A repair of one function needs no new way out of its module; one that takes a new
way is refused before it runs. This is a first filter and no proof: what guards a verdict is the
witness (see `witness.py`).

Honest code is let be: throw-away names, private helpers, arguments and variables that are named
like a builtin, annotations, and what is `HARMLESS` of the standard library. Standard library only:
the graders of exported tasks run this file in their containers.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import math
import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from types import ModuleType
from typing import NamedTuple

from envs.parsing import parse

__all__ = ["HARMLESS", "UNREADABLE", "new_reach"]

UNREADABLE = "text that is no Python"
"""What a submission brings in that cannot be parsed here."""

WAYS_OUT = frozenset(
    [
        *(
            "eval",
            "exec",
            "compile",
            "open",
            "input",
            "breakpoint",
            "exit",
            "quit",
            "help",
        ),
        *(
            "globals",
            "locals",
            "vars",
            "getattr",
            "setattr",
            "delattr",
            "type",
            "memoryview",
        ),
    ]
)
"""Builtins that run text, open files, or find things by their name."""

ATTRIBUTES_OUT = frozenset(
    [
        # A generator that runs knows who called it, and so the tests.
        *(
            "gi_frame",
            "cr_frame",
            "ag_frame",
            "tb_frame",
            "f_back",
            "f_code",
            "f_locals",
        ),
        *("f_globals", "f_builtins", "gi_code", "cr_code", "ag_code", "co_consts"),
        *(
            "os",
            "sys",
            "builtins",
            "modules",
            "unittest",
            "importlib",
            "inspect",
            "gc",
            "ctypes",
        ),
        *("posix", "subprocess", "_os", "_sys"),
        # They follow the attributes that a text names: "{0.gi_frame}".format(x).
        *("format", "format_map", "vformat"),
    ]
)

DUNDERS = frozenset(
    [
        *(
            "__init__",
            "__post_init__",
            "__repr__",
            "__str__",
            "__len__",
            "__iter__",
            "__next__",
        ),
        *(
            "__enter__",
            "__exit__",
            "__call__",
            "__name__",
            "__doc__",
            "__slots__",
            "__all__",
        ),
        *(
            "__contains__",
            "__getitem__",
            "__setitem__",
            "__lt__",
            "__add__",
            "__debug__",
        ),
        *("__version__", "__author__", "__license__", "__match_args__"),
    ]
)
"""Special names that a class or a module of its own may have, and that lead nowhere."""


def _public(module: ModuleType) -> tuple[str, ...]:
    return tuple(name for name in vars(module) if not name.startswith("_"))


HARMLESS = {
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
    "os.path": (
        "basename",
        "dirname",
        "exists",
        "isdir",
        "isfile",
        "join",
        "split",
        "splitext",
    ),
    "re": (
        *(
            "compile",
            "escape",
            "findall",
            "finditer",
            "fullmatch",
            "match",
            "search",
            "split",
        ),
        *(
            "sub",
            "subn",
            "IGNORECASE",
            "MULTILINE",
            "DOTALL",
            "VERBOSE",
            "ASCII",
            "I",
            "M",
            "S",
        ),
    ),
    "statistics": ("fmean", "mean", "median"),
    "string": tuple(
        name
        for name in _public(string)
        if name.startswith(("ascii", "dig", "hex", "oct", "pun"))
    ),
    "typing": (
        *(
            "Any",
            "Callable",
            "ClassVar",
            "Dict",
            "Final",
            "Generator",
            "Generic",
            "Iterable",
        ),
        *(
            "Iterator",
            "List",
            "Literal",
            "Mapping",
            "NamedTuple",
            "NoReturn",
            "Optional",
        ),
        *("Sequence", "Set", "Tuple", "Type", "TypeVar", "Union", "cast"),
    ),
    "__future__": ("annotations",),
}
"""Module -> names of it that any submission may use, and what leads to no other module."""

_FIELD = re.compile(r"\{[^{}:!]*[.\[]")
"""A field of a format that follows an attribute or an index, before its own format begins."""

_SPECIAL = re.compile(r"^__\w|\w__$|\b__\w+__\b")
"""A text that names a special attribute, or could be a half of one."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Use(NamedTuple):
    """Something that code reaches for.

    | field | meaning |
    |---|---|
    | what | as a refusal names it |
    | where | qualified name of the function around it; empty where any place will do |
    """

    what: str
    where: str = ""


def new_reach(original: str, submitted: str) -> list[str]:
    """Imports, chains of attributes and ways out of the module that the original lacks, sorted.

    A way out may be used in a function as often as the original uses it there.

    Text that cannot be read here is refused as well: the Python of the sandbox may be another one,
    and may read it. It is read as the file that an import finds: a byte order mark and a `coding`
    line count, and could hide code from whoever reads the text.
    """
    try:
        tree = parse(submitted.encode(errors="surrogatepass"))
        known = _reader_of(original)
        reader = _Reader(_changed(tree, _unchanged(original, submitted)), known)
        uses = Counter(reader.uses())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [UNREADABLE]
    return sorted(
        {
            use.what
            for use, count in uses.items()
            if (
                count > known.counts[use]
                if use.where
                else use.what not in known.anywhere
            )
        }
    )


@lru_cache(maxsize=64)
def _reader_of(original: str) -> _Reader:
    return _Reader(parse(original).body)


def _changed(tree: ast.Module, unchanged: range) -> list[ast.stmt]:
    """The statements of a module that do not stand whole in unchanged lines."""
    return [
        statement
        for statement in tree.body
        if not (statement.lineno in unchanged and statement.end_lineno in unchanged)
    ]


def _unchanged(original: str, submitted: str) -> range:
    """Numbers of the lines at the submission's start that are the original's; none if in doubt.

    What stands there needs no reading, which is most of the work.
    """
    if "coding" in submitted[:200] or {"\r", "\f", "\ufeff"} & set(submitted):
        return range(0)
    pairs = zip(original.split("\n"), submitted.split("\n"), strict=False)
    return range(
        1, 1 + sum(1 for _ in itertools.takewhile(lambda two: two[0] == two[1], pairs))
    )


class _Reader:
    """Reads what statements of a module reach for; `original` is that of the module they replace.

    What the original imports and defines counts as there: its other statements are unchanged.
    """

    def __init__(
        self, statements: Sequence[ast.stmt], original: _Reader | None = None
    ) -> None:
        self._statements = statements
        self.imported: dict[str, str] = dict(original.imported) if original else {}
        self.own: set[str] = set(original.own) if original else set()
        self._deleted: set[str] = set()
        for statement in statements:
            self.imported.update(_imported(statement))
            self.own.update(_own_attributes(statement))
            self._deleted.update(_deleted(statement))

    @cached_property
    def counts(self) -> Counter[Use]:
        """How often each use is there."""
        return Counter(self.uses())

    @cached_property
    def anywhere(self) -> set[str]:
        """What is used at any place."""
        return {use.what for use in self.counts}

    def uses(self) -> Iterator[Use]:
        """Everything that a submission has to have in common with the original."""
        # From its assignment on, a name of the module is no builtin any more.
        local: frozenset[str] = frozenset()
        for statement in self._statements:
            for node in ast.walk(statement):
                yield from _import_uses(node)
            yield from self._inside(statement, "", local)
            local |= frozenset(_assigned(statement)) - self._deleted

    def _inside(
        self, node: ast.AST, where: str, local: frozenset[str]
    ) -> Iterator[Use]:
        """Uses below a node. `local`: names that functions around it bind, so no builtins."""
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if _is_new_dunder(node.name):
                yield Use(f"def {node.name}", where or "the module")
            where = f"{where}.{node.name}".lstrip(".")
        if isinstance(node, _Function | _Comprehension):
            local = local | _bound(node)
        yield from self._used(node, where or "the module", local)
        if self._chain(node, local):
            return
        if _is_docstring(node):
            return
        for child in ast.iter_child_nodes(node):
            yield from self._inside(child, where, local)

    def _used(self, node: ast.AST, where: str, local: frozenset[str]) -> Iterator[Use]:
        if chain := self._chain(node, local):
            yield from _chain_uses(chain, where)
        elif isinstance(node, ast.Name):
            if node.id in self.imported and node.id not in local:
                if _is_module(self.imported[node.id]):
                    yield Use(f"{node.id} as a value")
            elif node.id not in local and (_is_taken(node) or _is_new_dunder(node.id)):
                yield Use(node.id, where)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(node, where)
        elif isinstance(node, ast.MatchClass):
            yield from (
                use for name in node.kwd_attrs for use in _attribute_uses(name, where)
            )
        elif isinstance(node, ast.Constant) and _names_special(node.value):
            yield Use(f"the text {str(node.value)[:40]!r}")

    def _attribute(self, node: ast.Attribute, where: str) -> Iterator[Use]:
        receiver = node.value
        if node.attr == "format" and _is_plain_format(receiver):
            return
        mine = isinstance(receiver, ast.Name) and receiver.id in ("self", "cls")
        if mine and node.attr in self.own and not _is_dunder(node.attr):
            return
        yield from _attribute_uses(node.attr, where)

    def _chain(self, node: ast.AST, local: frozenset[str]) -> str:
        """`os.path.join` for a chain of attributes that begins with something imported."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not parts or not isinstance(node, ast.Name) or node.id in local:
            return ""
        if node.id not in self.imported:
            return ""
        return ".".join([self.imported[node.id], *reversed(parts)])


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each name that an import binds, with the dotted name of what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _import_uses(node: ast.AST) -> Iterator[Use]:
    if isinstance(node, ast.Import):
        yield from (
            Use(f"import {a.name}") for a in node.names if a.name not in HARMLESS
        )
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if node.level or alias.name not in HARMLESS.get(node.module or "", ()):
                yield Use(f"from {node.module} import {alias.name}")


def _chain_uses(chain: str, where: str) -> Iterator[Use]:
    module, _, name = chain.rpartition(".")
    while module and module not in HARMLESS:
        module, _, name = module.rpartition(".")
    rest = chain[len(module) + 1 :].split(".")
    if module and rest[0] in HARMLESS[module]:
        # What follows is an attribute of a function or a class, as of any other value.
        for attribute in rest[1:]:
            yield from _attribute_uses(attribute, where)
    else:
        yield Use(chain)


def _attribute_uses(name: str, where: str) -> Iterator[Use]:
    if name in ATTRIBUTES_OUT:
        yield Use(f".{name}", where)
    elif _is_new_dunder(name):
        yield Use(name, where)
    elif name.startswith("_") and not _is_dunder(name):
        yield Use(f".{name}")


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_taken(node: ast.Name) -> bool:
    """Whether a way out is read; a variable of that name is none."""
    return node.id in WAYS_OUT and isinstance(node.ctx, ast.Load)


def _is_new_dunder(name: str) -> bool:
    return _is_dunder(name) and name not in DUNDERS


def _is_plain_format(node: ast.AST) -> bool:
    """Whether it is a text whose fields follow no attribute and no index."""
    text = node.value if isinstance(node, ast.Constant) else None
    return isinstance(text, str) and not _FIELD.search(text)


def _names_special(value: object) -> bool:
    """Whether a text could name a special attribute, as `getattr` would take it."""
    if not isinstance(value, str) or value in (*DUNDERS, "__main__"):
        return False
    return _SPECIAL.search(value) is not None


def _is_docstring(node: ast.AST) -> bool:
    """A text that stands alone goes nowhere."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@lru_cache(maxsize=1024)
def _is_module(dotted: str) -> bool:
    """Whether an imported thing is a module; so is what cannot be found out.

    Only what the original imports too, or what is harmless, gets as far as to matter.
    """
    module, _, name = dotted.rpartition(".")
    if not module:
        return True
    if name in HARMLESS.get(module, ()):
        return False
    try:
        return isinstance(getattr(importlib.import_module(module), name), ModuleType)
    except Exception:  # noqa: BLE001 - a name of the submission's may stand for anything
        return True


def _assigned(statement: ast.stmt) -> Iterator[str]:
    """Names that a simple assignment binds."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    yield from (one.id for one in targets if isinstance(one, ast.Name))


def _deleted(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
            yield node.id


def _own_attributes(tree: ast.AST) -> Iterator[str]:
    """Methods and attributes that classes of the module define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield item.name
                else:
                    yield from _assigned(item)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _bound(scope: ast.AST) -> frozenset[str]:
    """Names that a function or a comprehension binds, and so never takes from the builtins."""
    bound: set[str] = set()
    passed: set[str] = set()
    if isinstance(scope, _Function):
        arguments = scope.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
        bound.update(one.arg for one in every)
        inside = scope.body if isinstance(scope.body, list) else [scope.body]
    else:
        inside = list(ast.iter_child_nodes(scope))
    waiting: list[ast.AST] = list(inside)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
            continue
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            passed.update(node.names)
        if not isinstance(node, ast.Lambda | _Comprehension):
            waiting += ast.iter_child_nodes(node)
    return frozenset(bound - passed)
