"""Puts attacks into a submission: a wrong solution, with code before or after it."""

from __future__ import annotations

import ast
import base64
import zlib
from collections.abc import Iterator, Sequence

__all__ = ["defines", "in_lines", "one_line", "stub_functions", "wrong_with"]

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
    # Whatever a parser says of text that is no Python.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef) for node in tree.body)


def stub_functions(text: str) -> str:
    """The module with each function's body replaced: it returns its last argument, or None.

    Raises SyntaxError for a text that is no Python.
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = [_return_last_argument(node.args)]

    ast.fix_missing_locations(tree)
    return ast.unparse(tree) + "\n"


def _return_last_argument(arguments: ast.arguments) -> ast.Return:
    parameters = arguments.posonlyargs + arguments.args
    if not parameters:
        return ast.Return(None)
    last = parameters[-1]
    return ast.Return(ast.Name(last.arg, ast.Load()))


def wrong_with(
    wrong: str, codes: Sequence[str], *, tests: Sequence[str] = (), first: bool = False
) -> str:
    """A wrong module with attacks after it; `first`: before it, what wraps functions aside."""
    names = list(_functions(wrong))
    texts: list[str] = []
    for code in codes:
        text = _with_names(code, tests) + _wrappers(code, names)
        texts.append(text)
    if not first:
        after = "\n".join(texts)
        return f"{wrong}\n{after}"

    # What wraps functions must come after them in any case.
    parts: list[str] = []
    for code in codes:
        if "def on_call(" not in code:
            parts.append(_with_names(code, tests))
    parts.append(wrong)
    for code, text in zip(codes, texts, strict=True):
        if "on_call" in code:
            parts.append(text)
    return "\n".join(parts)


def _wrappers(code: str, names: Sequence[str]) -> str:
    """Statements that put `on_call` of an attack before each of the functions, if it has one."""
    if "def on_call(" not in code:
        return ""
    lines = [f"{name} = _wrap({name})\n" for name in names]
    return _WRAP + "".join(lines)


def one_line(code: str) -> str:
    """An expression that runs the code where modules run."""
    plain = f"exec({code!r})"
    packed = _pack(code)
    unpacking = _unpacker(repr(packed))
    return min(plain, unpacking, key=len)


def _pack(code: str) -> str:
    # Attacks may hold half of a surrogate pair.
    encoded = code.encode(errors="surrogatepass")
    compressed = zlib.compress(encoded, 9)
    return base64.b85encode(compressed).decode()


def _unpacker(expression: str) -> str:
    """An expression that runs what `_pack` made, given as an expression."""
    return f"exec(__import__('zlib').decompress(__import__('base64').b85decode({expression})))"


def in_lines(code: str, longest: int) -> list[str]:
    """Statements of one line each that together run the code, none longer than `longest`."""
    whole = one_line(code)
    if len(whole) <= longest:
        return [whole]

    packed = _pack(code)
    size = longest - len(f'{_PIECE}+=""')
    lines: list[str] = []
    for start in range(0, len(packed), size):
        piece = packed[start : start + size]
        operator = "+=" if lines else "="
        lines.append(f'{_PIECE}{operator}"{piece}"')
    lines.append(_unpacker(_PIECE))
    return lines


def _with_names(code: str, tests: Sequence[str]) -> str:
    head = f"TESTS = {list(tests)!r}\n" if "TESTS" in code else ""
    return f"{head}{code}\n"


def _functions(text: str) -> Iterator[str]:
    """Names of a module's functions, and of its classes' methods without decorators."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield from _methods(node)


def _methods(class_node: ast.ClassDef) -> Iterator[str]:
    for node in class_node.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        # A property or a class method takes other arguments than a function.
        if node.decorator_list or node.name.startswith("__"):
            continue
        yield f"{class_node.name}.{node.name}"
