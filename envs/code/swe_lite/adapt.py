"""Test files of others without what a sandbox lacks, and without whatever uses it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import accumulate

__all__ = ["adapt"]

_DEPRECATED = re.compile(
    r"^(\w+) = warnings_helper\.import_deprecated\(.\1.\)$", re.MULTILINE
)
_NO_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?=[^\n'\"\\abfnrtvxuUN0-7])")
# `doctest` loads `pdb` and so `cmd`, which is one of the hidden modules.
_UNAVAILABLE = frozenset(
    ["test", "subprocess", "multiprocessing", "socket", "tkinter", "doctest"]
)


def adapt(text: str) -> str:
    """The test file without imports that a sandbox lacks, and without whatever uses them.

    A class goes if its bases, decorators or attributes do; a method or function goes alone.
    """
    text = _DEPRECATED.sub(r"import \1", text)
    text = _double_backslashes(text)
    tree = ast.parse(text)
    removed_lines: set[int] = set()
    removed_names: set[str] = set()
    for node in _unavailable_imports(tree):
        removed_lines.update(_lines_of(node))
        for alias in node.names:
            name = alias.asname or alias.name
            removed_names.add(_top_level(name))

    # What goes takes others along, which may stand before it.
    size = -1
    while size != len(removed_names) + len(removed_lines):
        size = len(removed_names) + len(removed_lines)
        for statement in tree.body:
            for part in _parts_to_remove(statement, removed_names):
                removed_lines.update(_lines_of(part))
    return _without_lines(text, removed_lines)


def _without_lines(text: str, removed: Set[int]) -> str:
    remaining: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if number not in removed:
            remaining.append(line)
    return "\n".join(remaining)


def _double_backslashes(text: str) -> str:
    """The text with every backslash doubled that escapes nothing: Python warns of those."""
    lengths = [len(line) for line in text.splitlines(keepends=True)]
    starts = [0, *accumulate(lengths)]
    # From the end, so that the places of the earlier ones stay right.
    for token in reversed(_tokens(text)):
        literal = token.string
        if token.type != tokenize.STRING or _is_raw(literal):
            continue
        line, column = token.start
        start = starts[line - 1] + column
        before = text[:start]
        after = text[start + len(literal) :]
        doubled = _NO_ESCAPE.sub(r"\1\\\\", literal)
        text = before + doubled + after
    return text


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    readline = io.StringIO(text).readline
    return list(tokenize.generate_tokens(readline))


def _is_raw(literal: str) -> bool:
    quote = literal[-1]
    prefix = literal.partition(quote)[0]
    return "r" in prefix.lower()


def _unavailable_imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports, wherever they stand, of what a sandbox lacks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        packages = {_top_level(name) for name in modules}
        if packages & _UNAVAILABLE:
            yield node


def _top_level(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def _parts_to_remove(node: ast.stmt, removed_names: set[str]) -> Iterator[ast.stmt]:
    """What of a top-level statement goes; names that go with it are added to the removed ones."""
    if isinstance(node, ast.ClassDef):
        yield from _parts_of_class(node, removed_names)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        return
    elif _uses(node, removed_names):
        removed_names.update(_names_bound_by(node))
        yield node


def _parts_of_class(node: ast.ClassDef, removed_names: set[str]) -> Iterator[ast.stmt]:
    # All tests may need what is not a test: bases, attributes, `setUp`.
    shared: list[ast.AST] = [*node.bases, *node.decorator_list]
    tests: list[ast.FunctionDef] = []
    helpers: list[ast.FunctionDef] = []
    for item in node.body:
        if not isinstance(item, ast.FunctionDef):
            shared.append(item)
        elif item.name.startswith("test"):
            tests.append(item)
        else:
            shared.append(item)
            helpers.append(item)

    unusable: list[ast.FunctionDef] = []
    for test in tests:
        if _uses(test, removed_names):
            unusable.append(test)
    nothing_left = tests and not helpers and len(unusable) == len(tests)
    if nothing_left or _any_uses(shared, removed_names):
        removed_names.add(node.name)
        yield node
    else:
        yield from unusable


def _names_bound_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id


def _any_uses(nodes: Iterable[ast.AST], names: set[str]) -> bool:
    return any(_uses(node, names) for node in nodes)


def _uses(node: ast.AST, names: set[str]) -> bool:
    for inner in ast.walk(node):
        if not isinstance(inner, ast.Name):
            continue
        if inner.id in names:
            return True
    return False


def _lines_of(node: ast.stmt) -> range:
    """Line numbers of a statement, decorators included."""
    decorators: Sequence[ast.expr] = getattr(node, "decorator_list", [])
    first = node.lineno
    for decorator in decorators:
        first = min(first, decorator.lineno)
    last = node.end_lineno or node.lineno
    return range(first, last + 1)
