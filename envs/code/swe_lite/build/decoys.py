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
    afters: dict[str, None] = {}
    for mutation in others(text, bug):
        if span_of(mutation) == span_of(bug):
            afters[mutation.after] = None
    afters.update(dict.fromkeys(_replacements(bug)))

    results: list[Mutation] = []
    for after in afters:
        decoy = replace(bug, after=after)
        if after not in (bug.before, bug.after) and _parses(mutate(text, decoy)):
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
    return [
        mutation for mutation in every if mutation.operator not in HELD_OUT_OPERATORS
    ]


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
        yield from (f"{first}, {first}", f"{second}, {second}", first, second)
    elif bug.operator == "condition":
        yield from _conditions(bug.before)
    elif bug.operator == "return":
        # Some that hold the right text and some that do not, or it would look like the best of all.
        yield from ("True", "False", "0", "1", "[]")
        yield from (f"not ({bug.before})", f"[{bug.before}]", f"str({bug.before})")


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
    return [ast.get_source_segment(text, argument) or "" for argument in call.args]


def _conditions(before: str) -> Iterator[str]:
    yield from ("True", "False", f"not ({before})")
    text = f"({before})"
    test = ast.parse(text, mode="eval").body
    if isinstance(test, ast.BoolOp):
        halves = [ast.get_source_segment(text, value) or "" for value in test.values]
        yield from halves
        for half in halves:
            yield f"not {half}"
        word = " or " if isinstance(test.op, ast.And) else " and "
        yield word.join(halves)
