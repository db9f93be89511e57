"""Puts attacks into a submission: a wrong solution, with code before or after it."""

from __future__ import annotations

import ast
import base64
import zlib
from collections.abc import Iterator, Sequence

__all__ = ["defines", "in_lines", "one_line", "stubbed", "wrong_with"]

_WRAP = """
def _wrap(function, on_call=on_call):
    def call(*a, **k):
        return on_call(function, a, k)
    call.__name__ = getattr(function, "__name__", "call")
    return call
"""
_PIECE = "_C"


def defines(text: str) -> bool:
    """Whether a text is Python that defines a function."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef) for node in tree.body)


def stubbed(text: str) -> str:
    """The module with each function's body replaced: it returns its last argument, or None.

    Raises SyntaxError for a text that is no Python.
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
            node.body = [ast.Return(ast.Name(names[-1], ast.Load()) if names else None)]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def wrong_with(
    wrong: str, codes: Sequence[str], *, tests: Sequence[str] = (), first: bool = False
) -> str:
    """A wrong module with attacks after it; `first`: before it, what wraps functions aside."""
    names = list(_functions(wrong))
    added = "\n".join(_with_names(code, tests) + wrapped(code, names) for code in codes)
    if not first:
        return f"{wrong}\n{added}"
    return "\n".join(
        [
            *(_with_names(code, tests) for code in codes if "def on_call(" not in code),
            wrong,
            *(
                _with_names(code, tests) + wrapped(code, names)
                for code in codes
                if "on_call" in code
            ),
        ]
    )


def wrapped(code: str, names: Sequence[str]) -> str:
    """Statements that put `on_call` of an attack before each of the functions, if it has one."""
    if "def on_call(" not in code:
        return ""
    return _WRAP + "".join(f"{name} = _wrap({name})\n" for name in names)


def one_line(code: str) -> str:
    """An expression that runs the code where modules run."""
    plain = f"exec({code!r})"
    packed = base64.b85encode(
        zlib.compress(code.encode(errors="surrogatepass"), 9)
    ).decode()
    short = f"exec(__import__('zlib').decompress(__import__('base64').b85decode({packed!r})))"
    return min(plain, short, key=len)


def in_lines(code: str, longest: int) -> list[str]:
    """Statements of one line each that together run the code, none longer than `longest`."""
    whole = one_line(code)
    if len(whole) <= longest:
        return [whole]
    packed = base64.b85encode(
        zlib.compress(code.encode(errors="surrogatepass"), 9)
    ).decode()
    end = (
        f"exec(__import__('zlib').decompress(__import__('base64').b85decode({_PIECE})))"
    )
    size = longest - len(f'{_PIECE}+=""')
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    first, *rest = pieces
    return [f'{_PIECE}="{first}"', *(f'{_PIECE}+="{piece}"' for piece in rest), end]


def _with_names(code: str, tests: Sequence[str]) -> str:
    head = f"TESTS = {list(tests)!r}\n" if "TESTS" in code else ""
    return f"{head}{code}\n"


def _functions(text: str) -> Iterator[str]:
    """Names of a module's functions, and of the plain methods of its classes."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if not isinstance(item, ast.FunctionDef) or item.decorator_list:
                    continue
                if not item.name.startswith("__"):
                    yield f"{node.name}.{item.name}"
