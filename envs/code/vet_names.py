"""Which names a piece of code binds, as `vet.py` asks.

Standard library only: the graders of exported tasks run this file in their containers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = [
    "Comprehension",
    "Definition",
    "Function",
    "assignments",
    "class_attributes",
    "deletions",
    "import_bindings",
    "local_names",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def import_bindings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each name that an import binds, with the dotted name of what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    yield alias.asname, alias.name
                else:
                    first, _, _ = alias.name.partition(".")
                    yield first, first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                yield name, f"{node.module}.{alias.name}"


def assignments(statement: ast.stmt) -> Iterator[str]:
    """Names that a simple assignment binds."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id


def deletions(tree: ast.AST) -> Iterator[str]:
    """Names that a `del` unbinds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
            yield node.id


def class_attributes(tree: ast.AST) -> Iterator[str]:
    """Methods and attributes that classes of the module define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                yield from _attributes_of(item)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _attributes_of(statement: ast.stmt) -> Iterator[str]:
    """What a statement in the body of a class defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name
    else:
        yield from assignments(statement)


def local_names(scope: ast.AST) -> frozenset[str]:
    """Names that a function or a comprehension binds, and so never takes from the builtins."""
    local: set[str] = set()
    outer: set[str] = set()
    waiting = _body_of(scope)
    if isinstance(scope, Function):
        local.update(_parameters(scope.args))

    while waiting:
        node = waiting.pop()
        # Inner functions and classes bind their own names; only what they are called is local here.
        if isinstance(node, Definition):
            local.add(node.name)
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            local.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            local.add(node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer.update(node.names)
        if not isinstance(node, ast.Lambda | Comprehension):
            waiting += ast.iter_child_nodes(node)
    return frozenset(local - outer)


def _body_of(scope: ast.AST) -> list[ast.AST]:
    """The nodes inside a function or a comprehension, without a function's head."""
    if not isinstance(scope, Function):
        return list(ast.iter_child_nodes(scope))
    if isinstance(scope, ast.Lambda):
        return [scope.body]
    return list(scope.body)


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    """Names of all parameters of a function."""
    parameters = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    for parameter in parameters:
        if parameter is not None:
            yield parameter.arg
