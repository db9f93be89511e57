"""Wrong patches of a bug's own span, for operators that make too few others.

They stand among the candidates of level 0 alone; none is ever the bug of a task.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace

from envs.code.bugs.mutate import HELD_OUT_OPERATORS, Mutation, mutate, mutations

__all__ = ["decoys", "others", "span_of"]

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not")
_LOGIC = ("and", "or", "and not", "or not")
_SIGNS = ("+", "-", "*", "/", "//", "%", "**")
_ASSIGNMENTS = ("=", *(f"{sign}=" for sign in _SIGNS))
_SHIFTS = (" + 1", " - 1", " + 2", " - 2", " * 2", " // 2")
_CHARACTERS = ("", " ", "_", "-", ".", "/", "x")
_KINDS = (_COMPARISONS, _LOGIC, _SIGNS, _ASSIGNMENTS)


def decoys(text: str, bug: Mutation) -> list[Mutation]:
    """Other wrong texts for the characters that the bug changes; tests need not catch them."""
    span = span_of(bug)
    afters: list[str] = []
    for mutation in others(text, bug):
        if span_of(mutation) == span:
            afters.append(mutation.after)
    afters.extend(_replacements(bug))

    results: list[Mutation] = []
    # As keys: each text once, in this order.
    for after in dict.fromkeys(afters):
        if after in (bug.before, bug.after):
            continue
        decoy = replace(bug, after=after)
        if _parses(mutate(text, decoy)):
            results.append(decoy)
    return results


def span_of(mutation: Mutation) -> tuple[int, int, int]:
    """Line, first column and end of the characters that a mutation replaces."""
    return mutation.line, mutation.column, mutation.end


def others(text: str, bug: Mutation) -> list[Mutation]:
    """Mutations of the text, by held-out operators only if the bug's is one."""
    every = mutations(text)
    if bug.operator in HELD_OUT_OPERATORS:
        return every

    usual: list[Mutation] = []
    for mutation in every:
        if mutation.operator not in HELD_OUT_OPERATORS:
            usual.append(mutation)
    return usual


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _replacements(bug: Mutation) -> Iterator[str]:
    """Texts of the same kind as the bug's, beyond those of its operator."""
    for kind in _KINDS:
        if bug.before in kind:
            yield from kind
    if bug.operator == "off_by_one":
        yield from _SHIFTS
    elif bug.operator == "constant":
        yield from _constants(bug.before)
    elif bug.operator == "argument":
        first, second = _arguments(bug.before)
        yield f"{first}, {first}"
        yield f"{second}, {second}"
        yield first
        yield second
    elif bug.operator == "condition":
        yield from _conditions(bug.before)
    elif bug.operator == "return":
        # Some that hold the right text and some that do not, or it would look like the best of all.
        yield from ("True", "False", "0", "1", "[]")
        yield f"not ({bug.before})"
        yield f"[{bug.before}]"
        yield f"str({bug.before})"


def _constants(before: str) -> Iterator[str]:
    value = ast.literal_eval(before)
    if isinstance(value, str):
        quote = before[0]
        for character in _CHARACTERS:
            yield f"{quote}{character}{quote}"
        return
    for step in (1, -1, 2, -2, 3, 10):
        # A negative number would bind otherwise, as in `mutate`.
        if value + step >= 0:
            yield repr(value + step)


def _arguments(before: str) -> Sequence[str]:
    text = f"f({before})"
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    return [_segment(text, argument) for argument in call.args]


def _segment(text: str, node: ast.expr) -> str:
    return ast.get_source_segment(text, node) or ""


def _conditions(before: str) -> Iterator[str]:
    yield from ("True", "False", f"not ({before})")
    text = f"({before})"
    test = ast.parse(text, mode="eval").body
    if not isinstance(test, ast.BoolOp):
        return

    halves = [_segment(text, value) for value in test.values]
    yield from halves
    for half in halves:
        yield f"not {half}"
    # The other conjunction than the one that stands there.
    if isinstance(test.op, ast.And):
        yield " or ".join(halves)
    else:
        yield " and ".join(halves)
