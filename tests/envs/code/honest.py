"""Honest work, written otherwise: equal forms of a line, and equal forms of a module.

Everything here keeps what a program does, as far as its text says; so every verdict on it must be
the verdict on the program that it came from.
"""

from __future__ import annotations

import ast
import builtins
import copy
import io
import random
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from envs.code.bugs.mutate import functions
from envs.code.swe_lite.rename import rename_locals
from envs.code.vet_tables import ATTRIBUTES_OUT, HARMLESS, WAYS_OUT

# One line


class Form(NamedTuple):
    """An equal form of a line: how it differs, and the line."""

    name: str
    line: str


Span: TypeAlias = "tuple[int, int, str]"
"""First column, column after the last, new text."""

FLIPPED = {
    ast.Lt: ">",
    ast.LtE: ">=",
    ast.Gt: "<",
    ast.GtE: "<=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
OPPOSITE = {ast.NotEq: "==", ast.NotIn: "in", ast.IsNot: "is", ast.Eq: "!="}
SYMBOLS = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
}
PURE = (
    ast.Name,
    ast.Constant,
    ast.Attribute,
    ast.Subscript,
    ast.UnaryOp,
    ast.BinOp,
    ast.Load,
)
PURE_CALLS = frozenset({"len", "abs", "int", "ord", "str"})


def forms(text: str, number: int) -> list[Form]:
    """Equal forms of a line of a module, from 1; none where it has no code of its own.

    The line stays one line, since that is what an edit replaces.
    """
    line = text.split("\n")[number - 1]
    return [*_forms(line, number, *_nodes(text))] if line.isascii() else []


@lru_cache(maxsize=4)
def _nodes(
    text: str,
) -> tuple[Mapping[int, Sequence[ast.AST]], Mapping[ast.AST, ast.AST]]:
    """The nodes of each line, and what each node stands in."""
    by_line: dict[int, list[ast.AST]] = {}
    parents: dict[ast.AST, ast.AST] = {}
    for node in ast.walk(ast.parse(text)):
        by_line.setdefault(getattr(node, "end_lineno", 0), []).append(node)
        parents |= dict.fromkeys(ast.iter_child_nodes(node), node)
    return by_line, parents


def _forms(
    line: str,
    number: int,
    nodes: Mapping[int, Sequence[ast.AST]],
    parents: Mapping[ast.AST, ast.AST],
) -> Iterator[Form]:
    seen = {line}
    for node in nodes.get(number, ()):
        if node.lineno != number:
            continue
        if any(isinstance(one, ast.JoinedStr) for one in _above(node, parents)):
            continue  # columns inside are wrong before 3.12
        writing = _Writing(line, parents)
        for kind in (_of_expression, _of_statement):
            for name, (start, end, new) in kind(node, writing):
                other = line[:start] + new + line[end:]
                if other not in seen:
                    seen.add(other)
                    yield Form(name, other)
    if any(_ends(node, line) for node in nodes.get(number, ())):
        yield Form("a comment", f"{line}  # as it should be")


def _ends(node: ast.AST, line: str) -> bool:
    """Whether it is a statement after which the line has nothing: a comment may follow."""
    return isinstance(node, ast.stmt) and node.end_col_offset == len(line)


def _above(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while (node := parents.get(node)) is not None:
        yield node


class _Writing:
    """The line around a node."""

    def __init__(self, line: str, parents: Mapping[ast.AST, ast.AST]) -> None:
        self.line = line
        self.parents = parents

    def text(self, node: ast.AST) -> str:
        """The node's own text, in brackets where it might bind otherwise."""
        own = self.line[node.col_offset : node.end_col_offset]
        plain = isinstance(
            node, ast.Name | ast.Constant | ast.Attribute | ast.Subscript | ast.Call
        )
        return own if plain else f"({own})"

    def bare(self, node: ast.AST) -> str:
        return self.line[node.col_offset : node.end_col_offset]

    def is_condition(self, node: ast.AST) -> bool:
        """Whether only its truth counts."""
        parent = self.parents.get(node)
        if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert):
            return parent.test is node
        if isinstance(parent, ast.comprehension):
            return node in parent.ifs
        return isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not)

    def is_called(self, node: ast.AST) -> bool:
        parent = self.parents.get(node)
        return isinstance(parent, ast.Call) and parent.func is node


def pure(node: ast.AST) -> bool:
    """Whether it may be evaluated twice, or after its neighbour."""
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id in PURE_CALLS
        return named and not node.keywords and all(map(pure, node.args))
    if isinstance(node, ast.operator | ast.unaryop | ast.expr_context):
        return True
    if isinstance(node, ast.Attribute) and node.attr.startswith("__"):
        return False  # such a name may stand as often as the original has it
    return isinstance(node, PURE) and all(map(pure, ast.iter_child_nodes(node)))


def is_number(node: ast.AST) -> bool:
    """Whether its text says that it is a whole number."""
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("len", "ord")
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Mult | ast.Mod):
        return is_number(node.left) and is_number(node.right)
    return isinstance(node, ast.UnaryOp) and is_number(node.operand)


def _of_expression(node: ast.AST, writing: _Writing) -> Iterator[tuple[str, Span]]:
    if not isinstance(node, ast.expr) or isinstance(node, ast.Starred | ast.Slice):
        return
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return
    parent = writing.parents.get(node)
    if isinstance(
        parent, ast.match_case | ast.MatchValue | ast.MatchClass | ast.MatchMapping
    ):
        return
    start, end = node.col_offset, node.end_col_offset or 0
    alone = isinstance(node, ast.Constant) and isinstance(parent, ast.Expr)
    in_brackets = writing.line[start - 1 : start] == "(" or isinstance(
        node, ast.GeneratorExp
    )
    if not alone and not in_brackets:
        yield "brackets", (start, end, f"({writing.bare(node)})")
    for name, new in _equal_expressions(node, writing):
        yield name, (start, end, f"({new})")


def _equal_expressions(node: ast.expr, writing: _Writing) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Compare():
            yield from _comparison(node, writing)
        case ast.BoolOp():
            yield from _bool(node, writing)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not as a choice", f"False if {writing.text(operand)} else True"
        case ast.BinOp():
            yield from _arithmetic(node, writing)
        case ast.Subscript():
            yield from _subscript(node, writing)
        case ast.Call():
            yield from _call(node, writing)
        case ast.IfExp(test=test, body=body, orelse=other):
            yield (
                "a choice turned round",
                f"{writing.text(other)} if not {writing.text(test)} else {writing.text(body)}",
            )
        case ast.JoinedStr():
            yield from _f_string(node, writing)
        case ast.ListComp():
            yield "a list of a generator", f"list({writing.bare(node)[1:-1]})"
        case ast.List(elts=[_, *_]):
            yield (
                "a list of a tuple",
                f"list(({writing.bare(node)[1:-1].rstrip(', ')},))",
            )
        case ast.Constant(value=bool(value)):
            yield "the other truth", f"not {not value}"
        case ast.Constant(value=int(value)) if value > 0:
            yield "a sum", f"{value - 1} + 1"
            yield "a number in base 16", hex(value)
    if writing.is_condition(node) and not isinstance(node, ast.Constant):
        yield "bool", f"bool({writing.bare(node)})"
        yield "not twice", f"not not {writing.text(node)}"


def _comparison(node: ast.Compare, writing: _Writing) -> Iterator[tuple[str, str]]:
    text = writing.text
    if len(node.ops) == 2:
        (first, second), middle = node.ops, node.comparators[0]
        if pure(middle) and type(first) in FLIPPED and type(second) in FLIPPED:
            symbols = {
                ast.Lt: "<",
                ast.LtE: "<=",
                ast.Gt: ">",
                ast.GtE: ">=",
                ast.Eq: "==",
            }
            if type(first) in symbols and type(second) in symbols:
                yield (
                    "a chain in two",
                    f"{text(node.left)} {symbols[type(first)]} {text(middle)} and "
                    f"{text(middle)} {symbols[type(second)]} {text(node.comparators[1])}",
                )
        return
    if len(node.ops) > 2:
        return
    kind, left, right = type(node.ops[0]), node.left, node.comparators[0]
    if kind in FLIPPED and (pure(left) or pure(right)):
        yield "sides exchanged", f"{text(right)} {FLIPPED[kind]} {text(left)}"
    if kind in OPPOSITE:
        yield "not the opposite", f"not {text(left)} {OPPOSITE[kind]} {text(right)}"
    if kind in (ast.Is, ast.IsNot) and isinstance(right, ast.Constant):
        yield (
            "None first",
            f"{text(right)} {'is' if kind is ast.Is else 'is not'} {text(left)}",
        )
    if kind in (ast.In, ast.NotIn) and isinstance(right, ast.Tuple) and right.elts:
        word = "in" if kind is ast.In else "not in"
        yield "in a list", f"{text(left)} {word} [{writing.bare(right).strip('() ')}]"
        if (
            pure(left)
            and kind is ast.In
            and all(isinstance(e, ast.Constant) for e in right.elts)
        ):
            parts = (f"{text(left)} == {writing.bare(one)}" for one in right.elts)
            yield "or for in", " or ".join(parts)
    if is_number(left) and isinstance(right, ast.Constant):
        if kind is ast.Eq and right.value == 0 and writing.is_condition(node):
            yield "not a length", f"not {text(left)}"
        if kind is ast.Gt and right.value == 0 and writing.is_condition(node):
            yield "a length alone", text(left)
        if is_number(right) and kind in (ast.Gt, ast.GtE, ast.Lt, ast.LtE):
            by_one = {
                ast.Gt: (">=", 1),
                ast.GtE: (">", -1),
                ast.Lt: ("<=", -1),
                ast.LtE: ("<", 1),
            }
            symbol, more = by_one[kind]
            yield "the next number", f"{text(left)} {symbol} {right.value + more}"


def _bool(node: ast.BoolOp, writing: _Writing) -> Iterator[tuple[str, str]]:
    is_and = isinstance(node.op, ast.And)
    word, other = ("and", "or") if is_and else ("or", "and")
    texts = [writing.text(one) for one in node.values]
    if writing.is_condition(node):
        yield "De Morgan", f"not ({f' {other} '.join(f'not {one}' for one in texts)})"
        yield (
            "all or any",
            f"{'all' if is_and else 'any'}(bool(f()) for f in ({_lambdas(texts)}))",
        )
    if len(texts) == 2 and pure(node.values[0]):
        first, second = texts
        choice = (
            f"{second} if {first} else {first}"
            if is_and
            else f"{first} if {first} else {second}"
        )
        yield f"a choice for {word}", choice


def _lambdas(texts: Sequence[str]) -> str:
    return ", ".join(f"lambda: {one}" for one in texts) + ","


def _arithmetic(node: ast.BinOp, writing: _Writing) -> Iterator[tuple[str, str]]:
    left, right, kind = node.left, node.right, type(node.op)
    a, b = writing.text(left), writing.text(right)
    both = pure(left) or pure(right)
    if kind in (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor) and both:
        numbers = is_number(left) or is_number(right)
        if numbers:
            yield "operands exchanged", f"{b} {SYMBOLS[kind]} {a}"
    if kind is ast.Sub and is_number(right) and isinstance(right, ast.Constant):
        yield "plus the negative", f"{a} + -{b}"
        yield "minus first", f"-{b} + {a}"
    if kind is ast.Add and is_number(right) and isinstance(right, ast.Constant):
        yield "minus the negative", f"{a} - -{b}"
    if kind is ast.FloorDiv:
        yield "by divmod", f"divmod({a}, {b})[0]"
    if kind is ast.Mod and not isinstance(left, ast.Constant) and is_number(right):
        yield "the rest by divmod", f"divmod({a}, {b})[1]"
    if kind is ast.Pow:
        yield "pow", f"pow({a}, {b})"
    if kind is ast.LShift and isinstance(left, ast.Constant) and left.value == 1:
        yield "a power of 2", f"2 ** {b}"


def _subscript(node: ast.Subscript, writing: _Writing) -> Iterator[tuple[str, str]]:
    value, index = node.value, node.slice
    text, a = writing.text, writing.text(value)
    if isinstance(index, ast.Slice):
        low, high, step = (
            text(one) if one else None for one in (index.lower, index.upper, index.step)
        )
        slices = ", ".join(one or "None" for one in (low, high, step))
        yield "a slice object", f"{a}[slice({slices})]"
        if step is None:
            yield "a step of 1", f"{a}[{low or ''}:{high or ''}:1]"
            if low is None:
                yield "from 0", f"{a}[0:{high or ''}]"
            if high is None and pure(value):
                yield "to the length", f"{a}[{low or ''}:len({a})]"
        return
    match index:
        case ast.UnaryOp(op=ast.USub(), operand=operand) if pure(value) and is_number(
            operand
        ):
            yield "from the length", f"{a}[len({a}) - {text(operand)}]"


def _call(node: ast.Call, writing: _Writing) -> Iterator[tuple[str, str]]:
    text, args = writing.text, node.args
    if node.keywords or any(isinstance(one, ast.Starred) for one in args):
        return
    match node.func:
        case ast.Name(id="range") if len(args) == 1:
            yield "range from 0", f"range(0, {writing.bare(args[0])})"
        case ast.Name(id="range") if len(args) == 2:
            yield (
                "range by 1",
                f"range({writing.bare(args[0])}, {writing.bare(args[1])}, 1)",
            )
        case ast.Name(id="list") if len(args) == 1 and not isinstance(
            args[0], ast.GeneratorExp
        ):
            yield "a list of a star", f"[*{text(args[0])}]"
        case ast.Name(id="tuple") if len(args) == 1 and not isinstance(
            args[0], ast.GeneratorExp
        ):
            yield "a tuple of a star", f"(*{text(args[0])},)"
        case ast.Name(id="sorted") if len(args) == 1 and not isinstance(
            args[0], ast.GeneratorExp
        ):
            yield "sorted of a list", f"sorted(list({writing.bare(args[0])}))"
        case ast.Name(id="max" | "min" as name) if len(args) == 2 and all(
            map(pure, args)
        ):
            a, b = map(text, args)
            yield (
                "a choice of two",
                f"{b} if {b} {'>' if name == 'max' else '<'} {a} else {a}",
            )
            yield "of a list", f"{name}([{a}, {b}])"
        case ast.Name(id="isinstance") if len(args) == 2 and isinstance(
            args[1], ast.Tuple
        ):
            if pure(args[0]):
                kinds = (writing.bare(one) for one in args[1].elts)
                a = writing.bare(args[0])
                yield (
                    "isinstance by or",
                    " or ".join(f"isinstance({a}, {one})" for one in kinds),
                )
        case ast.Name(id="sum" | "any" | "all" as name) if isinstance(
            args[0], ast.GeneratorExp
        ):
            inner = writing.bare(args[0])
            inner = inner[1:-1] if inner.startswith("(") else inner
            if name == "sum" and len(args) == 1:
                yield "of a list", f"sum([{inner}])"
        case ast.Attribute(value=ast.Constant(value=str()), attr="join") if (
            len(args) == 1
        ):
            inner = writing.bare(args[0])
            if not isinstance(args[0], ast.GeneratorExp):
                yield "str.join", f"str.join({writing.bare(node.func.value)}, {inner})"
                yield (
                    "join of a list",
                    f"{writing.bare(node.func.value)}.join(list({inner}))",
                )
        case ast.Attribute(value=value, attr="startswith") if len(args) == 1:
            if (
                isinstance(args[0], ast.Constant)
                and isinstance(args[0].value, str)
                and pure(value)
            ):
                size = len(args[0].value)
                yield (
                    "startswith by a slice",
                    (f"{text(value)}[:{size}] == {writing.bare(args[0])}"),
                )
        case ast.Attribute(value=value, attr="get") if len(args) == 1 and pure(value):
            yield "get with None", f"{text(value)}.get({writing.bare(args[0])}, None)"


def _f_string(node: ast.JoinedStr, writing: _Writing) -> Iterator[tuple[str, str]]:
    """`"{} and {}".format(a, b)`, and a sum of texts, for a plain f-string."""
    pattern, values, parts = "", [], []
    for one in node.values:
        if isinstance(one, ast.Constant):
            pattern += one.value.replace("{", "{{").replace("}", "}}")
            parts.append(repr(one.value))
            continue
        spec = one.format_spec
        if spec is not None and not all(
            isinstance(v, ast.Constant) for v in spec.values
        ):
            return
        plain = "".join(v.value for v in spec.values) if spec else ""
        mark = f"!{chr(one.conversion)}" if one.conversion >= 0 else ""
        pattern += "{" + mark + (f":{plain}" if plain else "") + "}"
        value = ast.unparse(one.value)
        values.append(value)
        parts.append(
            f"{'repr' if mark == '!r' else 'str'}({value})"
            if not plain and mark in ("", "!r", "!s")
            else f"format({value}, {plain!r})"
            if not mark
            else ""
        )
    yield "format", f"{pattern!r}.format({', '.join(values)})"
    if all(parts):
        yield "a sum of texts", " + ".join(parts)
    if all(parts) and len(parts) > 1:
        yield "a join", f"''.join([{', '.join(parts)}])"


def _of_statement(node: ast.AST, writing: _Writing) -> Iterator[tuple[str, Span]]:
    if not isinstance(node, ast.stmt):
        return
    start, end = node.col_offset, node.end_col_offset or 0
    for name, new in _equal_statements(node, writing):
        yield name, (start, end, new)


def _equal_statements(node: ast.stmt, writing: _Writing) -> Iterator[tuple[str, str]]:
    bare, text = writing.bare, writing.text
    match node:
        case ast.AugAssign(target=target, op=op, value=value):
            safe = (
                is_number(value)
                or isinstance(value, ast.JoinedStr)
                or (isinstance(value, ast.Constant) and isinstance(value.value, str))
                or isinstance(
                    op, ast.Sub | ast.Mult | ast.FloorDiv | ast.Mod | ast.LShift
                )
            )
            if safe and pure(_as_value(target)):
                yield (
                    "assigned",
                    f"{bare(target)} = {bare(target)} {SYMBOLS[type(op)]} {text(value)}",
                )
        case ast.Assign(targets=[ast.Name(id=name) as target], value=value):
            yield "a throw-away name", f"_step = {bare(value)}; {name} = _step"
            yield "unpacked", f"[{name}] = [{bare(value)}]"
            if not _is_global(node, name, writing):
                yield "annotated", f"{bare(target)}: object = {bare(value)}"
        case ast.Assign(
            targets=[ast.Tuple(elts=elts)], value=ast.Tuple(elts=values)
        ) if len(elts) == len(values) and not any(
            isinstance(e, ast.Starred) for e in elts + values
        ):
            yield (
                "lists of both",
                f"{bare(node.targets[0])} = [{', '.join(map(bare, values))}]",
            )
        case ast.Return(value=ast.expr() as value):
            yield "a variable before", f"answer_ = {bare(value)}; return answer_"
            if any(
                isinstance(one, ast.FunctionDef)
                for one in _above(node, writing.parents)
            ):
                yield "if True", f"if True: return {bare(value)}"
        case ast.Return(value=None):
            yield "return None", "return None"
        case ast.Raise(exc=ast.Call() as error, cause=None):
            yield "a variable before", f"error_ = {bare(error)}; raise error_"
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="append"), args=[value])):
            function = node.value.func
            if not isinstance(value, ast.Starred) and not isinstance(
                value, ast.GeneratorExp
            ):
                yield "extend", f"{bare(function.value)}.extend([{bare(value)}])"
        case ast.Continue() | ast.Break():
            yield "if True", f"if True: {bare(node)}"


def _is_global(node: ast.AST, name: str, writing: _Writing) -> bool:
    """Whether the name may be another scope's, so that no annotation may stand there."""
    for one in _above(node, writing.parents):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            return any(
                isinstance(inner, ast.Global | ast.Nonlocal) and name in inner.names
                for inner in ast.walk(one)
            )
    return True


def _as_value(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body


# A whole module

Change: TypeAlias = "Callable[[str, random.Random], str]"


def change_module(text: str, changes: Sequence[str], seed: int) -> str:
    """A module after some of `CHANGES`, one after the other."""
    rng = random.Random(seed)
    for name in changes:
        text = CHANGES[name](text, rng)
    return text


def by_tree(change: Callable[[ast.Module, random.Random], None]) -> Change:
    """A change of the text that is made on the tree; comments are lost by it."""

    def apply(text: str, rng: random.Random) -> str:
        tree = ast.parse(text)
        change(tree, rng)
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"

    return apply


def words(tree: ast.AST) -> set[str]:
    """Every name that stands anywhere: none of them is free."""
    names: set[str] = set(dir(builtins))
    for node in ast.walk(tree):
        for field in ("id", "name", "arg", "attr", "asname"):
            names |= {str(getattr(node, field, "")).partition(".")[0]}
    return names


def free(tree: ast.AST, *wanted: str) -> str:
    """A name that stands nowhere."""
    taken = words(tree)
    names = (f"{name}{number or ''}" for number in range(100) for name in wanted)
    return next(name for name in names if name not in taken)


def places(
    tree: ast.Module, rng: random.Random, most: int = 4
) -> list[ast.FunctionDef]:
    """Some functions and methods, at random."""
    every = [function for _, function in functions(tree.body, "")]
    return rng.sample(every, min(most, len(every)))


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements below a function."""
    for one in ast.walk(node):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(one, field, None)
            if isinstance(block, list):
                yield block


def start(function: ast.FunctionDef) -> int:
    """Where a statement may be put in: behind the docstring and what declares names."""
    place = 1 if ast.get_docstring(function) is not None else 0
    is_outer = [isinstance(node, ast.Global | ast.Nonlocal) for node in function.body]
    while True in is_outer[place:]:
        place = is_outer.index(True, place) + 1
    return place


def top(tree: ast.Module) -> int:
    """Where an import may be put in: behind the docstring and `from __future__`."""
    place = 1 if ast.get_docstring(tree) is not None else 0
    for number, node in enumerate(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            place = number + 1
    return place


def own_names(function: ast.FunctionDef) -> set[str]:
    """The function's local names."""
    arguments = function.args
    names = {
        one.arg
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    } | {one.arg for one in (arguments.vararg, arguments.kwarg) if one is not None}
    outer: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            names |= {node.name} - {None, function.name}
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer |= set(node.names)
    return names - outer


STAYS = (
    *(ast.Yield, ast.YieldFrom, ast.Await, ast.NamedExpr, ast.Lambda, ast.Starred),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


def can_move(value: ast.expr) -> bool:
    """Whether an expression gives the same in a function of its own."""
    return not any(
        isinstance(node, STAYS) or stays_in_place(node) for node in ast.walk(value)
    )


def stays_in_place(node: ast.AST) -> bool:
    """Whether it means something else, or is refused, in another function."""
    if isinstance(node, ast.Name):
        return node.id in {"super", *WAYS_OUT} or node.id.startswith("__")
    return isinstance(node, ast.Attribute) and (
        node.attr in ATTRIBUTES_OUT or node.attr.startswith("__")
    )


def helpers(tree: ast.Module, rng: random.Random) -> None:
    """What a function returns comes from a private function, which is called instead."""
    for function in places(tree, rng):
        names = own_names(function)
        returns = [
            node
            for node in ast.walk(function)
            if isinstance(node, ast.Return)
            and node.value is not None
            and can_move(node.value)
        ]
        nested = {
            inner
            for node in ast.walk(function)
            if isinstance(node, ast.FunctionDef | ast.Lambda) and node is not function
            for inner in ast.walk(node)
        }
        returns = [node for node in returns if node not in nested]
        if not returns:
            continue
        node = rng.choice(returns)
        assert node.value is not None
        loaded = {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
        inputs = sorted(loaded & names)
        name = free(tree, "_helper", f"_{function.name.strip('_')}_value")
        helper = ast.parse(f"def {name}({', '.join(inputs)}):\n    return 0").body[0]
        assert isinstance(helper, ast.FunctionDef)
        helper.body = [ast.Return(node.value)]
        node.value = ast.parse(f"{name}({', '.join(inputs)})", mode="eval").body
        if rng.random() < 0.5:
            tree.body.append(helper)
        else:
            tree.body.insert(_statement_of(tree, function), helper)


def _statement_of(tree: ast.Module, function: ast.FunctionDef) -> int:
    return next(n for n, one in enumerate(tree.body) if function in set(ast.walk(one)))


def annotations(tree: ast.Module, rng: random.Random) -> None:
    """Arguments, results and variables have types."""
    for function in places(tree, rng, 8):
        for argument in (*function.args.args, *function.args.kwonlyargs):
            if argument.arg not in ("self", "cls") and argument.annotation is None:
                argument.annotation = ast.parse(
                    rng.choice(
                        ["Any", "'Optional[object]'", "object", "'int | str | None'"]
                    ),
                    mode="eval",
                ).body
        function.returns = function.returns or ast.Name("Any", ast.Load())
        outer = {
            name
            for node in ast.walk(function)
            if isinstance(node, ast.Global | ast.Nonlocal)
            for name in node.names
        }
        for block in blocks(function):
            for place, node in enumerate(block):
                match node:
                    case ast.Assign(
                        targets=[ast.Name(id=name) as target], value=value
                    ) if name not in outer and rng.random() < 0.3:
                        block[place] = ast.AnnAssign(
                            target, ast.Name("Any", ast.Load()), value, simple=1
                        )
    tree.body.insert(top(tree), ast.parse("from typing import Any, Optional").body[0])


def docstrings(tree: ast.Module, rng: random.Random) -> None:
    """Functions say what they do, and some texts stand alone."""
    for function in places(tree, rng, 8):
        if ast.get_docstring(function) is None and not function.name.startswith(
            ("do_", "help_")
        ):
            note = rng.choice(
                ["What it says.", "See __init__ and __class__.", "Größe ≥ 0 🙂"]
            )
            function.body.insert(0, ast.Expr(ast.Constant(note)))
        else:
            function.body.insert(1, ast.Expr(ast.Constant("a note on self.__dict__")))


def throw_away(tree: ast.Module, rng: random.Random) -> None:
    """Loops over `_`, and variables of that name."""
    if "_" in words(tree):
        return
    for function in places(tree, rng):
        code = rng.choice(
            [
                "for _ in range(3):\n    pass",
                "_ = 3",
                "_, __unused = 1, 2",
                "_unused = [0 for _ in range(2)]",
                "for _, _x in enumerate('ab'):\n    continue",
                "with_ = not_ = None\ndel with_",
            ]
        )
        function.body[start(function) : start(function)] = ast.parse(code).body


def imports(tree: ast.Module, rng: random.Random) -> None:
    """Some modules and names that any submission may have are imported."""
    taken = words(tree)
    for module in rng.sample(sorted(HARMLESS), 4):
        if module == "__future__":
            continue
        name = rng.choice(HARMLESS[module])
        lines = [f"from {module} import {name} as {free(tree, f'_{name}')}"]
        if name not in taken:
            lines.append(f"from {module} import {name}")
        if module.partition(".")[0] not in taken:
            lines.append(f"import {module}\n{module}.{name}")
        code = ast.parse(rng.choice(lines)).body
        if rng.random() < 0.5:
            tree.body[top(tree) : top(tree)] = code
        elif place := places(tree, rng, 1):
            names = {alias.asname or alias.name for alias in code[0].names}
            if not names & taken:
                place[0].body[start(place[0]) : start(place[0])] = code


def other_order(tree: ast.Module, rng: random.Random) -> None:
    """Neighbouring assignments of constants in the other order."""
    for function in places(tree, rng, 30):
        for block in blocks(function):
            for place in range(len(block) - 1):
                one, other = block[place : place + 2]
                both = _sets_constant(one) and _sets_constant(other)
                if both and ast.dump(one.targets[0]) != ast.dump(other.targets[0]):
                    block[place : place + 2] = [other, one]


def _sets_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign) or not all(
        isinstance(t, ast.Name) for t in node.targets
    ):
        return False
    empty = (
        isinstance(node.value, ast.List | ast.Dict)
        and not list(ast.iter_child_nodes(node.value))[1:]
    )
    return len(node.targets) == 1 and (isinstance(node.value, ast.Constant) or empty)


def variables(tree: ast.Module, rng: random.Random) -> None:
    """What is returned, or decides, has a name first."""
    name = free(tree, "result_value", "answer")
    for function in places(tree, rng, 8):
        for block in blocks(function):
            for place in range(len(block) - 1, -1, -1):
                node = block[place]
                if rng.random() < 0.5:
                    continue
                value = node.value if isinstance(node, ast.Return) else None
                if isinstance(node, ast.If) and not _is_elif(function, block):
                    value = node.test
                if value is None or any(
                    isinstance(n, ast.NamedExpr) for n in ast.walk(value)
                ):
                    continue
                first = ast.Assign([ast.Name(name, ast.Store())], value)
                if isinstance(node, ast.Return):
                    node.value = ast.Name(name, ast.Load())
                elif isinstance(node, ast.If):
                    node.test = ast.Name(name, ast.Load())
                block.insert(place, first)


def _is_elif(function: ast.AST, block: list[ast.stmt]) -> bool:
    return any(
        isinstance(one, ast.If) and one.orelse is block for one in ast.walk(function)
    )


def while_loops(tree: ast.Module, rng: random.Random) -> None:
    """`while True` with `next` in place of `for`."""
    if {"iter", "next", "StopIteration"} & _targets(tree):
        return
    name = free(tree, "items_left")
    for function in places(tree, rng, 6):
        for number, block in enumerate(list(blocks(function))):
            for place, node in enumerate(block):
                if isinstance(node, ast.For) and not node.orelse and rng.random() < 0.6:
                    mine = f"{name}_{number}_{place}"
                    loop = ast.parse(
                        "while True:\n    try:\n"
                        f"        x = next({mine})\n    except StopIteration:\n        break\n"
                    ).body[0]
                    assert isinstance(loop, ast.While)
                    attempt = loop.body[0]
                    assert isinstance(attempt, ast.Try)
                    attempt.body = [
                        ast.Assign(
                            [node.target], ast.parse(f"next({mine})", mode="eval").body
                        )
                    ]
                    loop.body += node.body
                    call = ast.Call(ast.Name("iter", ast.Load()), [node.iter], [])
                    first = ast.Assign([ast.Name(mine, ast.Store())], call)
                    block[place] = ast.If(ast.Constant(True), [first, loop], [])


def _targets(tree: ast.AST) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def early_returns(tree: ast.Module, rng: random.Random) -> None:
    """A condition round the end of a function turns into a return before it; others turn round."""
    for function in places(tree, rng, 8):
        last = function.body[-1]
        if isinstance(last, ast.If) and not last.orelse and len(function.body) > 1:
            no = ast.UnaryOp(ast.Not(), last.test)
            function.body[-1:] = [ast.If(no, [ast.Return(None)], []), *last.body]
        for node in ast.walk(function):
            if isinstance(node, ast.If) and node.orelse and rng.random() < 0.5:
                node.test = ast.UnaryOp(ast.Not(), node.test)
                node.body, node.orelse = node.orelse, node.body


def else_branches(tree: ast.Module, rng: random.Random) -> None:
    """What follows an `if` that returns or raises stands in its `else`."""
    for function in places(tree, rng, 8):
        for block in list(blocks(function)):
            for place, node in enumerate(block[:-1]):
                leaves = isinstance(node, ast.If) and isinstance(
                    node.body[-1], ast.Return | ast.Raise | ast.Continue
                )
                if leaves and not node.orelse and rng.random() < 0.6:
                    node.orelse = block[place + 1 :]
                    del block[place + 1 :]
                    break


def inner_functions(tree: ast.Module, rng: random.Random) -> None:
    """The body stands in a function inside."""
    for function in places(tree, rng, 3):
        inside = [*ast.walk(function)]
        if any(
            isinstance(node, ast.Yield | ast.YieldFrom | ast.Global) for node in inside
        ):
            continue
        if not all(
            can_move(n.value)
            for n in inside
            if isinstance(n, ast.Expr | ast.Return) and n.value
        ):
            continue
        if any(map(stays_in_place, inside)):
            continue
        targets = _targets(function) | {
            n.id
            for n in inside
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Del)
        }
        arguments = own_names(ast.parse(ast.unparse(_without_body(function))).body[0])
        if targets & arguments:
            continue
        place = start(function)
        name = free(tree, "inner")
        helper = ast.parse(f"def {name}():\n    pass").body[0]
        assert isinstance(helper, ast.FunctionDef)
        helper.body = function.body[place:] or [ast.Pass()]
        function.body[place:] = [
            helper,
            *ast.parse(f"def f():\n    return {name}()").body[0].body,
        ]


def _without_body(function: ast.FunctionDef) -> ast.FunctionDef:
    bare = copy.copy(function)
    bare.body, bare.decorator_list = [ast.Pass()], []
    return bare


def classes(tree: ast.Module, rng: random.Random) -> None:
    """Classes and functions of its own that the module has no need of."""
    code = rng.choice(
        [
            "class _Box:\n    '''Holds.'''\n    def __init__(self, value=None):\n"
            "        self._value = value\n        self.input = value\n"
            "    def __repr__(self):\n        return '{}({!r})'.format('Box', self._value)\n"
            "    def __len__(self):\n        return len(self._value or ())\n",
            "def _identity(*arguments, type=None, input=None, **options):\n"
            "    return type, input, arguments, options\n",
            "if __name__ == '__main__':\n    print('{:>5}'.format(1))\n",
            "_CACHE = {}\n_LIMIT = 7 ** 5\n",
            "_keys = sorted({'b': 1, 'a': 2}, key=lambda open: open)\n",
            "def _walk(node):\n    yield node\n    for one in ():\n        yield from _walk(one)\n",
            "class _Error(ValueError):\n    pass\n",
        ]
    )
    tree.body += ast.parse(code).body


def comments(text: str, rng: random.Random) -> str:
    """Comments at the ends of lines, and lines of their own."""
    lines = text.split("\n")
    ends = [
        token.start
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NEWLINE and token.string
    ]
    for row, column in rng.sample(ends, min(8, len(ends))):
        line = lines[row - 1]
        note = rng.choice(
            ["fixed", "was: os.system('x')", "__class__", "ß → 🙂", "type: ignore"]
        )
        if line[column:].strip() == "" and not line.rstrip().endswith("\\"):
            lines[row - 1] = f"{line[:column]}  # {note}"
    return (
        "\n".join(["# a note", *lines, "# the end"])
        if rng.random() < 0.5
        else "\n".join(lines)
    )


def line_ends(text: str, rng: random.Random) -> str:
    """Other line ends, a mark, a coding line, no newline at the end."""
    return rng.choice(
        [
            lambda: text.replace("\n", "\r\n"),
            lambda: text.replace("\n", "\r"),
            lambda: "\ufeff" + text,
            lambda: f"# -*- coding: utf-8 -*-\n{text}",
            lambda: text.rstrip("\n"),
            lambda: text + "\n\n\n",
        ]
    )()


def other_names(text: str, rng: random.Random) -> str:
    """Other names for the local variables."""
    return rename_locals(text)


def line_forms(text: str, rng: random.Random) -> str:
    """Some lines in an equal form."""
    lines = text.split("\n")
    inside = sorted(
        {
            number
            for _, function in functions(ast.parse(text).body, "")
            for number in range(function.body[0].lineno, (function.end_lineno or 0) + 1)
        }
    )
    for number in rng.sample(inside, min(12, len(inside))):
        if names := forms(text, number):
            lines[number - 1] = rng.choice(names).line
    return "\n".join(lines)


TREE_CHANGES = {
    function.__name__: by_tree(function)
    for function in (
        *(
            helpers,
            annotations,
            docstrings,
            throw_away,
            imports,
            other_order,
            variables,
        ),
        *(while_loops, early_returns, else_branches, inner_functions, classes),
    )
}
CHANGES: dict[str, Change] = {
    **TREE_CHANGES,
    "other_names": other_names,
    "line_forms": line_forms,
    "comments": comments,
    "line_ends": line_ends,
}
"""By name; what changes text alone stands last, and so comes last."""
