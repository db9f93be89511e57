"""Changes of a solution that change nothing of what it does, as models write them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from envs.attack.compose import defines

__all__ = ["Change", "changes", "in_code"]

Change = Callable[[str], str]


def in_code(text: str, sampled: Sequence[Change]) -> str:
    """The text after these changes."""
    for change in sampled:
        text = change(text)
    return text


def changes(text: str) -> Iterator[Change]:
    """What can be done to a module, or to a line, without changing what it does."""
    yield from _MODULE_CHANGES if defines(text) else _LINE_CHANGES


def _with_comment(line: str) -> str:
    if "#" in line or line.endswith("\\"):
        return line
    return f"{line}  # as it must be"


def _with_space(line: str) -> str:
    return line if line.endswith("\\") else f"{line} "


def _with_pass(line: str) -> str:
    return f"{line}; pass" if _is_simple(line) else line


def _is_simple(line: str) -> bool:
    try:
        tree = ast.parse(line)
    except SyntaxError:
        return False
    simple = ast.Assign | ast.AugAssign | ast.Expr
    return len(tree.body) == 1 and isinstance(tree.body[0], simple)


def _with_brackets(line: str) -> str:
    start = "return "
    value = line.removeprefix(start)
    if value == line or any(part in line for part in ("#", ";", "yield")):
        return line
    try:
        ast.parse(value, mode="eval")
    except SyntaxError:
        return line
    return f"{start}({value})"


_LINE_CHANGES: tuple[Change, ...] = (
    _with_comment,
    _with_space,
    _with_pass,
    _with_brackets,
)


def _rename_locals(text: str) -> str:
    # Where the corpus of one environment is: others do without.
    from envs.code.swe_lite.rename import rename_locals

    return rename_locals(text)


def _in_try(text: str) -> str:
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            # A docstring stays the first statement, or it is none.
            has_docstring = ast.get_docstring(node) is not None
            start = 1 if has_docstring and len(node.body) > 1 else 0
            attempt = ast.Try(
                body=node.body[start:],
                handlers=[],
                orelse=[],
                finalbody=[ast.Pass()],
            )
            node.body[start:] = [attempt]

    ast.fix_missing_locations(tree)
    return ast.unparse(tree) + "\n"


def _with_decorator(text: str) -> str:
    tree = ast.parse(text)
    helper = ast.parse("def _same(function):\n    return function\n").body
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name != "_same":
            decorator = ast.Name("_same", ast.Load())
            node.decorator_list.insert(0, decorator)

    place = _after_future(tree)
    tree.body[place:place] = helper
    ast.fix_missing_locations(tree)
    return ast.unparse(tree) + "\n"


def _after_future(tree: ast.Module) -> int:
    after = 0
    for place, node in enumerate(tree.body, start=1):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            after = place
    return after


_MODULE_CHANGES: tuple[Change, ...] = (
    lambda text: f"# The solution.\n{text}\n# Done.\n",
    lambda text: f"from typing import Any, Optional\n{text}",
    lambda text: f"import math\nimport re\nfrom collections import Counter\n{text}",
    lambda text: f"for _ in range(3):\n    pass\n{text}",
    lambda text: f"{text}\ndef _helper(x):\n    return x\n\n_ = _helper(3)\n",
    lambda text: f"{text}\nif __name__ == '__main__':\n    print('try it')\n",
    lambda text: (
        f"{text}\nclass Pair:\n    def __init__(self, one, two):\n        self.one = one\n"
    ),
    lambda text: (
        f"from dataclasses import dataclass\n{text}\n@dataclass\nclass P:\n    x: int = 0\n"
    ),
    lambda text: text.replace("\n", "\r\n") if "\r" not in text else text,
    lambda text: f"{text}\nprint('done')\n",
    lambda text: f"{text}\n_squares = [x**2 for x in range(9)]\n\n\n\n",
    lambda text: ast.unparse(ast.parse(text)) + "\n",
    _rename_locals,
    _in_try,
    _with_decorator,
)
