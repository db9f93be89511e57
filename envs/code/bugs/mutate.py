"""One-line bugs: places where an operator, a constant or a condition can go wrong.

A mutation is a text span located through `ast`, so that the diff is one line and comments survive.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from envs.code.bugs import operators, signs
from envs.code.bugs.changes import Change
from envs.parsing import parse

__all__ = [
    "HELD_OUT_OPERATORS",
    "OPERATORS",
    "Mutation",
    "functions",
    "mutate",
    "mutations",
]


@dataclass(frozen=True)
class Mutation:
    """A replacement of one span of one line.

    | field | meaning |
    |---|---|
    | operator | which of `OPERATORS` made it |
    | function | qualified name of the outermost function or method around it |
    | line | from 1 |
    | column, end | columns from 0, `end` excluded |
    | before, after | text of the span |
    """

    operator: str
    function: str
    line: int
    column: int
    end: int
    before: str
    after: str


def mutate(text: str, *applied: Mutation) -> str:
    """The text with all mutations applied. Raises ValueError if a span is not as recorded."""
    lines = text.split("\n")  # as ast counts them; splitlines also breaks at form feeds
    # From the end, so that columns of the earlier ones in a line stay right.
    for mutation in sorted(applied, key=_position, reverse=True):
        index = mutation.line - 1
        lines[index] = _mutate_line(lines[index], mutation)
    return "\n".join(lines)


def _position(mutation: Mutation) -> tuple[int, int]:
    return mutation.line, mutation.column


def _mutate_line(line: str, mutation: Mutation) -> str:
    column = mutation.column
    end = mutation.end
    span = line[column:end]
    if span != mutation.before:
        raise ValueError(
            f"line {mutation.line}: got {span!r} at column {column}, "
            f"expected {mutation.before!r}: the mutation is of another text"
        )
    return line[:column] + mutation.after + line[end:]


def mutations(text: str) -> list[Mutation]:
    """Every mutation of the functions of a module, by line, then column.

    Docstrings, annotations, decorators, default arguments and code outside functions are left
    alone; so are lines outside ASCII, because ast's byte columns are not characters there.
    """
    lines = text.split("\n")
    module = parse(text)
    by_change: dict[Change, Mutation] = {}
    for name, function in functions(module.body, ""):
        for operator, change in _changes_inside(function, lines):
            line = lines[change.line - 1]
            before = line[change.column : change.end]
            if before == change.after or not line.isascii():
                continue
            # Two operators may make one change; the first is its name.
            if change in by_change:
                continue
            by_change[change] = Mutation(
                operator=operator,
                function=name,
                line=change.line,
                column=change.column,
                end=change.end,
                before=before,
                after=change.after,
            )
    return [by_change[change] for change in sorted(by_change)]


def _changes_inside(
    function: ast.FunctionDef, lines: Sequence[str]
) -> Iterator[tuple[str, Change]]:
    """What each operator, by name, makes of each node of a function."""
    for node in _nodes_inside(function):
        for name, operator in OPERATORS.items():
            for change in operator(node, lines):
                yield name, change


def functions(
    body: Sequence[ast.stmt], prefix: str
) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Top-level functions and methods with their qualified names, which begin with `prefix`."""
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{prefix}{node.name}.")


def _nodes_inside(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Nodes of the body, without docstrings and annotations."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if _is_bare_constant(node):
            continue
        yield node

        if isinstance(node, ast.FunctionDef):
            waiting.extend(node.body)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                waiting.append(node.value)
        elif not isinstance(node, ast.JoinedStr):
            # Columns inside f-strings are wrong before Python 3.12.
            waiting.extend(ast.iter_child_nodes(node))


def _is_bare_constant(node: ast.AST) -> bool:
    """Whether a statement is a docstring or another constant that does nothing."""
    if not isinstance(node, ast.Expr):
        return False
    return isinstance(node.value, ast.Constant)


OPERATORS: dict[str, Callable[[ast.AST, Sequence[str]], Iterator[Change]]] = {
    "comparison": signs.comparison,
    "arithmetic": signs.arithmetic,
    "boolean": signs.boolean,
    "constant": signs.constant,
    "negation": signs.negation,
    "off_by_one": signs.off_by_one,
    "return": signs.return_value,
    "argument": operators.argument_swap,
    "condition": operators.condition,
    "jump": operators.jump,
    "method": operators.method_name,
    "function": operators.function_name,
    "exception": operators.exception,
    "slice": operators.slice_bound,
}
"""The mutation operators by name; each yields changes of one node."""

HELD_OUT_OPERATORS = frozenset({"method", "function", "exception", "slice"})
"""Operators that are kept out of training."""
