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

from envs.code.vet_names import (
    Comprehension,
    Definition,
    Function,
    assignments,
    class_attributes,
    deletions,
    import_bindings,
    local_names,
)
from envs.code.vet_tables import ATTRIBUTES_OUT, DUNDERS, HARMLESS, WAYS_OUT
from envs.parsing import parse

__all__ = ["UNREADABLE", "new_reach"]

UNREADABLE = "text that is no Python"
"""What a submission brings in that cannot be parsed here."""

_FIELD = re.compile(r"\{[^{}:!]*[.\[]")
"""A field of a format that follows an attribute or an index, before its own format begins."""

_SPECIAL = re.compile(r"^__\w|\w__$|\b__\w+__\b")
"""A text that names a special attribute, or could be a half of one."""


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
        unchanged = _common_lines(original, submitted)
        statements = _statements_outside(tree, unchanged)
        reader = _Reader(statements, original_reader)
        uses = Counter(reader.uses())
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
    tree = parse(original)
    return _Reader(tree.body)


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
    doubtful = {"\r", "\f", "\ufeff"}
    if "coding" in submitted[:200] or doubtful & set(submitted):
        return range(0)

    original_lines = original.split("\n")
    submitted_lines = submitted.split("\n")
    count = 0
    pairs = zip(original_lines, submitted_lines, strict=False)
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
        self,
        statements: Sequence[ast.stmt],
        original: _Reader | None = None,
    ) -> None:
        self._statements = statements
        # Name -> the dotted name of what it was imported as.
        self.imports: dict[str, str] = {}
        self.attributes: set[str] = set()
        self._deleted_names: set[str] = set()
        if original is not None:
            self.imports.update(original.imports)
            self.attributes.update(original.attributes)
        for statement in statements:
            self.imports.update(import_bindings(statement))
            self.attributes.update(class_attributes(statement))
            self._deleted_names.update(deletions(statement))

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
        local: frozenset[str] = frozenset()
        for statement in self._statements:
            for node in ast.walk(statement):
                yield from _import_uses(node)
            yield from self._uses_below(statement, "", local)
            # From its assignment on, a name of the module is no builtin any more.
            assigned = frozenset(assignments(statement))
            local |= assigned - self._deleted_names

    def _uses_below(
        self,
        node: ast.AST,
        where: str,
        local: frozenset[str],
    ) -> Iterator[Use]:
        """Uses of a node and below it.

        `local`: names that functions around it bind, so no builtins.
        """
        if isinstance(node, Definition):
            if _is_new_dunder(node.name):
                place = where or "the module"
                yield Use(f"def {node.name}", place)
            where = f"{where}.{node.name}".lstrip(".")
        if isinstance(node, Function | Comprehension):
            local = local | local_names(node)
        place = where or "the module"
        yield from self._uses_of(node, place, local)

        # A chain was read whole.
        if self._chain(node, local) or _is_docstring(node):
            return
        for child in ast.iter_child_nodes(node):
            yield from self._uses_below(child, where, local)

    def _uses_of(
        self,
        node: ast.AST,
        where: str,
        local: frozenset[str],
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
            text = str(node.value)
            yield Use(f"the text {text[:40]!r}")

    def _name_uses(self, node: ast.Name, where: str) -> Iterator[Use]:
        """Uses of a name that no function around it binds."""
        if node.id in self.imports:
            dotted = self.imports[node.id]
            if _is_module(dotted):
                yield Use(f"{node.id} as a value")
        elif _reads_way_out(node) or _is_new_dunder(node.id):
            yield Use(node.id, where)

    def _attribute_uses(self, node: ast.Attribute, where: str) -> Iterator[Use]:
        name = node.attr
        if name == "format" and _is_harmless_format(node.value):
            return
        # What the module's own classes define, on an object of theirs.
        is_of_class = name in self.attributes and not _is_dunder(name)
        if is_of_class and _is_self(node.value):
            return
        yield from _attribute_uses(name, where)

    def _chain(self, node: ast.AST, local: frozenset[str]) -> str:
        """`os.path.join` for a chain of attributes that begins with something imported."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not parts or not isinstance(node, ast.Name):
            return ""
        # A name that a function around it binds is not the import.
        if node.id in local or node.id not in self.imports:
            return ""
        parts.append(self.imports[node.id])
        return ".".join(reversed(parts))


def _import_uses(node: ast.AST) -> Iterator[Use]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name not in HARMLESS:
                yield Use(f"import {alias.name}")
    elif isinstance(node, ast.ImportFrom):
        harmless = HARMLESS.get(node.module or "", ())
        for alias in node.names:
            # A relative import is of a module that is not the library's.
            if node.level or alias.name not in harmless:
                yield Use(f"from {node.module} import {alias.name}")


def _chain_uses(chain: str, where: str) -> Iterator[Use]:
    """Uses of a dotted chain: of its attributes if it begins harmlessly, else of it whole."""
    module, _, _ = chain.rpartition(".")
    while module and module not in HARMLESS:
        module, _, _ = module.rpartition(".")
    rest = chain[len(module) + 1 :]
    name, *attributes = rest.split(".")
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


def _is_self(node: ast.AST) -> bool:
    """Whether it is the name of a method's first parameter."""
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_harmless_format(node: ast.AST) -> bool:
    """Whether it is a text whose fields follow no attribute and no index."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return False
    return _FIELD.search(node.value) is None


def _names_special(value: object) -> bool:
    """Whether a text could name a special attribute, as `getattr` would take it."""
    if not isinstance(value, str):
        return False
    if value in DUNDERS or value == "__main__":
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
    parent_name, _, name = dotted.rpartition(".")
    if not parent_name:
        return True
    if name in HARMLESS.get(parent_name, ()):
        return False
    try:
        parent = importlib.import_module(parent_name)
        value = getattr(parent, name)
    except Exception:  # noqa: BLE001 - a name of the submission's may stand for anything
        return True
    return isinstance(value, ModuleType)
