"""What a repair may not reach for: the ways from a module to the tests that judge it.

Tests run in the process that imports the submission, so code there could patch the test runner or
write to its pipe. A repair of one function needs no new way out of its module; one that takes a new
way is refused before it runs. This is a first filter and no proof: what guards a verdict is the
witness (see `witness.py`).

Honest code is let be: throw-away names, private helpers, arguments and variables that are named
like a builtin, annotations, and what is `HARMLESS` of the standard library (see `vet_tables.py`).
Standard library only: the graders of exported tasks run this file in their containers.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from types import ModuleType
from typing import NamedTuple

from envs.code.vet_tables import ATTRIBUTES_OUT, DUNDERS, HARMLESS, WAYS_OUT
from envs.parsing import parse

__all__ = ["UNREADABLE", "new_reach"]

UNREADABLE = "text that is no Python"
"""What a submission brings in that cannot be parsed here."""

_FIELD = re.compile(r"\{[^{}:!]*[.\[]")
"""A field of a format that follows an attribute or an index, before its own format begins."""

_SPECIAL = re.compile(r"^__\w|\w__$|\b__\w+__\b")
"""A text that names a special attribute, or could be a half of one."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Use(NamedTuple):
    """Something that code reaches for.

    | field | meaning |
    |---|---|
    | what | as a refusal names it |
    | where | qualified name of the function around it; empty if any place will do |
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
        original_reader = _reader_of(original)
        statements = _statements_outside(tree, _common_lines(original, submitted))
        uses = Counter(_Reader(statements, original_reader).uses())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [UNREADABLE]

    reach: set[str] = set()
    for use, count in uses.items():
        if use.where:
            is_new = count > original_reader.counts[use]
        else:
            is_new = use.what not in original_reader.anywhere
        if is_new:
            reach.add(use.what)
    return sorted(reach)


@lru_cache(maxsize=64)
def _reader_of(original: str) -> _Reader:
    return _Reader(parse(original).body)


def _statements_outside(tree: ast.Module, unchanged: range) -> list[ast.stmt]:
    """The statements of a module that do not stand whole in unchanged lines."""
    return [
        statement
        for statement in tree.body
        if statement.lineno not in unchanged or statement.end_lineno not in unchanged
    ]


def _common_lines(original: str, submitted: str) -> range:
    """Numbers of the lines at the submission's start that are the original's; none if in doubt.

    What stands there needs no reading, which is most of the work.
    """
    # These make Python count or decode lines in another way than `split` does.
    if "coding" in submitted[:200] or {"\r", "\f", "\ufeff"} & set(submitted):
        return range(0)
    count = 0
    pairs = zip(original.split("\n"), submitted.split("\n"), strict=False)
    for original_line, submitted_line in pairs:
        if original_line != submitted_line:
            break
        count += 1
    return range(1, count + 1)


class _Reader:
    """Reads what statements of a module reach for; `original` is that of the module they replace.

    What the original imports and defines counts as there: its other statements are unchanged.
    """

    def __init__(
        self, statements: Sequence[ast.stmt], original: _Reader | None = None
    ) -> None:
        self._statements = statements
        # Name -> the dotted name of what it was imported as.
        self.imports: dict[str, str] = dict(original.imports) if original else {}
        self.attributes: set[str] = set(original.attributes) if original else set()
        self._deleted_names: set[str] = set()
        for statement in statements:
            self.imports.update(_import_bindings(statement))
            self.attributes.update(_class_attributes(statement))
            self._deleted_names.update(_deletions(statement))

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
            yield from self._uses_below(statement, "", local)
            local |= frozenset(_assignments(statement)) - self._deleted_names

    def _uses_below(
        self, node: ast.AST, where: str, local: frozenset[str]
    ) -> Iterator[Use]:
        """Uses of a node and below it.

        `local`: names that functions around it bind, so no builtins.
        """
        if isinstance(node, _Definition):
            if _is_new_dunder(node.name):
                yield Use(f"def {node.name}", where or "the module")
            where = f"{where}.{node.name}".lstrip(".")
        if isinstance(node, _Function | _Comprehension):
            local = local | _local_names(node)
        yield from self._uses_of(node, where or "the module", local)

        # A chain was read whole.
        if self._chain(node, local) or _is_docstring(node):
            return
        for child in ast.iter_child_nodes(node):
            yield from self._uses_below(child, where, local)

    def _uses_of(
        self, node: ast.AST, where: str, local: frozenset[str]
    ) -> Iterator[Use]:
        """Uses of a node alone."""
        chain = self._chain(node, local)
        if chain:
            yield from _chain_uses(chain, where)
        elif isinstance(node, ast.Name):
            if node.id not in local:
                yield from self._name_uses(node, where)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute_uses(node, where)
        elif isinstance(node, ast.MatchClass):
            for name in node.kwd_attrs:
                yield from _attribute_uses(name, where)
        elif isinstance(node, ast.Constant) and _names_special(node.value):
            yield Use(f"the text {str(node.value)[:40]!r}")

    def _name_uses(self, node: ast.Name, where: str) -> Iterator[Use]:
        """Uses of a name that no function around it binds."""
        if node.id in self.imports:
            if _is_module(self.imports[node.id]):
                yield Use(f"{node.id} as a value")
        elif _reads_way_out(node) or _is_new_dunder(node.id):
            yield Use(node.id, where)

    def _attribute_uses(self, node: ast.Attribute, where: str) -> Iterator[Use]:
        receiver = node.value
        if node.attr == "format" and _is_harmless_format(receiver):
            return
        of_self = isinstance(receiver, ast.Name) and receiver.id in ("self", "cls")
        if of_self and node.attr in self.attributes and not _is_dunder(node.attr):
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
        if node.id not in self.imports:
            return ""
        return ".".join([self.imports[node.id], *reversed(parts)])


def _import_bindings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each name that an import binds, with the dotted name of what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    yield alias.asname, alias.name
                else:
                    first = alias.name.partition(".")[0]
                    yield first, first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _import_uses(node: ast.AST) -> Iterator[Use]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name not in HARMLESS:
                yield Use(f"import {alias.name}")
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if node.level or alias.name not in HARMLESS.get(node.module or "", ()):
                yield Use(f"from {node.module} import {alias.name}")


def _chain_uses(chain: str, where: str) -> Iterator[Use]:
    """Uses of a dotted chain: of its attributes if it begins harmlessly, else of it whole."""
    module, _, _ = chain.rpartition(".")
    while module and module not in HARMLESS:
        module, _, _ = module.rpartition(".")
    name, *attributes = chain[len(module) + 1 :].split(".")
    if module and name in HARMLESS[module]:
        # What follows is an attribute of a function or a class, as of any other value.
        for attribute in attributes:
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


def _is_new_dunder(name: str) -> bool:
    return _is_dunder(name) and name not in DUNDERS


def _reads_way_out(node: ast.Name) -> bool:
    """Whether a way out is read; a variable of that name is none."""
    return node.id in WAYS_OUT and isinstance(node.ctx, ast.Load)


def _is_harmless_format(node: ast.AST) -> bool:
    """Whether it is a text whose fields follow no attribute and no index."""
    text = node.value if isinstance(node, ast.Constant) else None
    return isinstance(text, str) and not _FIELD.search(text)


def _names_special(value: object) -> bool:
    """Whether a text could name a special attribute, as `getattr` would take it."""
    if not isinstance(value, str) or value in DUNDERS or value == "__main__":
        return False
    return _SPECIAL.search(value) is not None


def _is_docstring(node: ast.AST) -> bool:
    """A text that stands alone goes nowhere."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@lru_cache(maxsize=1024)
def _is_module(dotted: str) -> bool:
    """Whether an imported thing is a module; what cannot be imported here counts as one.

    Only what the original imports too, or what is harmless, gets as far as to matter.
    """
    module, _, name = dotted.rpartition(".")
    if not module:
        return True
    if name in HARMLESS.get(module, ()):
        return False
    try:
        value = getattr(importlib.import_module(module), name)
    except Exception:  # noqa: BLE001 - a name of the submission's may stand for anything
        return True
    return isinstance(value, ModuleType)


def _assignments(statement: ast.stmt) -> Iterator[str]:
    """Names that a simple assignment binds."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id


def _deletions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
            yield node.id


def _class_attributes(tree: ast.AST) -> Iterator[str]:
    """Methods and attributes that classes of the module define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield item.name
                else:
                    yield from _assignments(item)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _local_names(scope: ast.AST) -> frozenset[str]:
    """Names that a function or a comprehension binds, and so never takes from the builtins."""
    local: set[str] = set()
    outer: set[str] = set()
    if isinstance(scope, _Function):
        local.update(_parameters(scope.args))
        body = scope.body if isinstance(scope.body, list) else [scope.body]
    else:
        body = ast.iter_child_nodes(scope)

    # Inner functions and classes bind their own names; only what they are called is local here.
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            local.add(node.id)
        elif isinstance(node, _Definition):
            local.add(node.name)
            continue
        elif isinstance(node, ast.ExceptHandler) and node.name:
            local.add(node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer.update(node.names)
        if not isinstance(node, ast.Lambda | _Comprehension):
            waiting += ast.iter_child_nodes(node)
    return frozenset(local - outer)


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    """Names of all parameters of a function."""
    starred = (arguments.vararg, arguments.kwarg)
    for group in (arguments.posonlyargs, arguments.args, arguments.kwonlyargs, starred):
        for argument in group:
            if argument is not None:
                yield argument.arg
