"""What a repair may not reach for: the ways from a module to the tests that judge it.

Tests run in the process that imports the submission, so code there could patch the test runner or
write to its pipe. A repair of one function needs no new way out of its module; one that takes a new
way is refused before it runs. The box protects the machine, this protects the verdict.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["new_reach"]

_WAYS_OUT = frozenset(
    [
        *("eval", "exec", "compile", "open", "input", "breakpoint", "exit", "quit"),
        *("globals", "locals", "vars", "getattr", "setattr", "delattr", "type", "memoryview"),
        # A generator that runs knows who called it, and so the tests.
        *("gi_frame", "cr_frame", "ag_frame", "tb_frame", "f_back", "f_code", "f_locals"),
        *("f_globals", "f_builtins", "gi_code", "co_consts"),
    ]
)
# They follow the attributes that a text names: "{0.gi_frame}".format(x).
_BY_TEXT = frozenset(["format", "format_map", "vformat"])


def new_reach(original: str, submitted: str) -> list[str]:
    """Imports, private names and ways out of the module that only the submission uses, sorted.

    Text that cannot be read here is refused as well: the Python of the box may be another one, and
    may read it. It is read as the file that an import finds: a byte order mark and a `coding` line
    count, and could hide code from whoever reads the text.
    """
    try:
        tree = ast.parse(submitted.encode(errors="surrogatepass"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ["text that is no Python"]
    return sorted(set(_reach(tree)) - _reach_of(original))


@lru_cache(maxsize=64)
def _reach_of(original: str) -> frozenset[str]:
    return frozenset(_reach(ast.parse(original)))


def _reach(tree: ast.Module) -> Iterator[str]:
    modules = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    bases = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        yield from _imported(node)
        yield from _special(node)
        yield from (name for name in _names(node) if name.startswith("_") or name in _WAYS_OUT)
        if isinstance(node, ast.Attribute) and node.attr in _BY_TEXT:
            yield f".{node.attr}"
        if isinstance(node, ast.Name) and node.id in modules and id(node) not in bases:
            yield f"{node.id} as a value"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield from [f"{node.value.id}.{node.attr}"] if node.value.id in modules else []


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"import {alias.name}" for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"from {node.module} import {alias.name}" for alias in node.names)


def _special(node: ast.AST) -> Iterator[str]:
    """Private functions and methods, methods with their class: an `__eq__` of its own is new."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("_"):
        yield f"def {node.name}"
    elif isinstance(node, ast.ClassDef):
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name.startswith("_"):
                yield f"{node.name}.{item.name}"


def _names(node: ast.AST) -> Iterator[str]:
    """Names that a node reads, binds, defines or matches."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.MatchClass):
        yield from node.kwd_attrs
    elif isinstance(node, ast.keyword | ast.arg) and node.arg is not None:
        yield node.arg
