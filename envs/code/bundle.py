"""Makes a module of CPython and its tests into a source: what needs CPython's `test` package goes.

    python -m envs.code.bundle configparser plistlib

copies the named modules of the running Python, code unchanged, to `envs/data/swe_lite/stdlib/`.
"""

from __future__ import annotations

import ast
import importlib.util
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from envs.code import corpus

__all__ = ["adapt", "main"]

_DEPRECATED = re.compile(r"^(\w+) = warnings_helper\.import_deprecated\(.\1.\)$", re.MULTILINE)
_NOT_IN_A_BOX = frozenset({"test", "subprocess", "multiprocessing", "socket", "tkinter"})


def adapt(text: str) -> str:
    """The test file without imports that a box lacks, and without whatever uses them.

    A class goes where its bases, decorators or attributes do; a method or function goes alone.
    """
    text = _DEPRECATED.sub(r"import \1", text)
    tree = ast.parse(text)
    cut: set[int] = set()
    gone: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and _unavailable(node):
            cut.update(_lines(node))
            gone.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    before = -1
    while before != len(gone) + len(cut):
        before = len(gone) + len(cut)
        for node in tree.body:
            cut.update(number for one in _lost(node, gone) for number in _lines(one))
    lines = text.split("\n")
    return "\n".join(line for number, line in enumerate(lines, start=1) if number not in cut)


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


def _bundle(name: str) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin != str(library / f"{name}.py"):
        raise ValueError(f"got {name!r}, wanted a module that is one file of {library}")
    folder = corpus.DATA / "stdlib" / name
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_bytes((library / f"{name}.py").read_bytes())
    tests = (library / "test" / f"test_{name}.py").read_text("utf-8")
    head = (
        f"# From CPython {platform.python_version()}, Lib/test/test_{name}.py, PSF licence "
        "(see ../LICENSE.txt).\n"
        "# Adapted: tests that need the test package, processes or sockets were removed.\n\n"
    )
    (folder / f"test_{name}.py").write_text(head + adapt(tests), "utf-8")


def main() -> None:
    """Bundles the modules that the command line names."""
    for name in sys.argv[1:]:
        _bundle(name)


if __name__ == "__main__":
    main()
