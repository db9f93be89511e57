"""Test files of others without what a box lacks, and without whatever uses it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from itertools import accumulate

__all__ = ["adapt"]

_DEPRECATED = re.compile(
    r"^(\w+) = warnings_helper\.import_deprecated\(.\1.\)$", re.MULTILINE
)
_NO_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?=[^\n'\"\\abfnrtvxuUN0-7])")
# `doctest` loads `pdb` and so `cmd`, which is one of the hidden modules.
_NOT_IN_A_BOX = frozenset(
    {"test", "subprocess", "multiprocessing", "socket", "tkinter", "doctest"}
)


def adapt(text: str) -> str:
    """The test file without imports that a box lacks, and without whatever uses them.

    A class goes where its bases, decorators or attributes do; a method or function goes alone.
    """
    text = _escaped(_DEPRECATED.sub(r"import \1", text))
    tree = ast.parse(text)
    cut: set[int] = set()
    gone: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and _unavailable(node):
            cut.update(_lines(node))
            gone.update(
                (alias.asname or alias.name).partition(".")[0] for alias in node.names
            )
    before = -1
    while before != len(gone) + len(cut):
        before = len(gone) + len(cut)
        for node in tree.body:
            cut.update(number for one in _lost(node, gone) for number in _lines(one))
    lines = text.split("\n")
    return "\n".join(
        line for number, line in enumerate(lines, start=1) if number not in cut
    )


def _escaped(text: str) -> str:
    """The text with every backslash doubled that escapes nothing: Python warns of those."""
    starts = [0, *accumulate(len(line) for line in text.splitlines(keepends=True))]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    strings = [token for token in tokens if token.type == tokenize.STRING]
    for token in reversed(strings):
        prefix = token.string.partition(token.string[-1])[0]
        if "r" not in prefix.lower():
            start = starts[token.start[0] - 1] + token.start[1]
            plain = _NO_ESCAPE.sub(r"\1\\\\", token.string)
            text = text[:start] + plain + text[start + len(token.string) :]
    return text


def _unavailable(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [node.module or ""]
    return any(name.partition(".")[0] in _NOT_IN_A_BOX for name in names)


def _lost(node: ast.stmt, gone: set[str]) -> Iterator[ast.stmt]:
    """What of a top-level statement goes; names that go with it are added to `gone`."""
    if isinstance(node, ast.ClassDef):
        functions = [item for item in node.body if isinstance(item, ast.FunctionDef)]
        rest = [
            *(item for item in node.body if item not in functions),
            *node.bases,
            *node.decorator_list,
        ]
        shared = [item for item in functions if not item.name.startswith("test")]
        if any(_uses(item, gone) for item in [*rest, *shared]):
            gone.add(node.name)
            yield node
            return
        lost = [item for item in functions if _uses(item, gone)]
        tests = [item for item in functions if item.name.startswith("test")]
        if lost and len(lost) == len(functions) and len(tests) == len(functions):
            gone.add(node.name)
            yield node
        else:
            yield from lost
    elif not isinstance(node, ast.Import | ast.ImportFrom) and _uses(node, gone):
        gone.update(_bound(node))
        yield node


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    else:
        found = (one for one in ast.walk(node) if isinstance(one, ast.Name))
        yield from (one.id for one in found if isinstance(one.ctx, ast.Store))


def _uses(node: ast.AST, gone: set[str]) -> bool:
    return any(isinstance(one, ast.Name) and one.id in gone for one in ast.walk(node))


def _lines(node: ast.stmt) -> range:
    decorators: Sequence[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(item.lineno for item in decorators)])
    return range(first, (node.end_lineno or node.lineno) + 1)
