"""Wrong patches of a bug's own span, where its operator knows too few others.

They stand among the candidates of level 0 alone; none is ever the bug of a task.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace

from envs.code.bugs.mutate import HELD_OUT_OPERATORS, Mutation, mutate, mutations

__all__ = ["decoys", "others"]

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not")
_LOGIC = ("and", "or", "and not", "or not")
_SIGNS = ("+", "-", "*", "/", "//", "%", "**")
_ASSIGNED = ("=", *(f"{sign}=" for sign in _SIGNS))
_SHIFTS = (" + 1", " - 1", " + 2", " - 2", " * 2", " // 2")
_CHARACTERS = ("", " ", "_", "-", ".", "/", "x")
_ALIKE = (_COMPARISONS, _LOGIC, _SIGNS, _ASSIGNED)


def decoys(text: str, bug: Mutation) -> list[Mutation]:
    """Other wrong texts for the characters that the bug changes; tests need not catch them."""
    span = (bug.line, bug.column, bug.end)
    known = [
        one.after
        for one in others(text, bug)
        if (one.line, one.column, one.end) == span
    ]
    texts = dict.fromkeys([*known, *_written(bug)])
    found = [
        replace(bug, after=after)
        for after in texts
        if after not in (bug.before, bug.after)
    ]
    return [one for one in found if _parses(mutate(text, one))]


def others(text: str, bug: Mutation) -> list[Mutation]:
    """Mutations of the text, by held-out operators only where the bug's is one."""
    held_out = bug.operator in HELD_OUT_OPERATORS
    return [
        one
        for one in mutations(text)
        if held_out or one.operator not in HELD_OUT_OPERATORS
    ]


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _written(bug: Mutation) -> Iterator[str]:
    """Texts of the same kind as the bug's, beyond those of its operator."""
    for alike in _ALIKE:
        if bug.before in alike:
            yield from alike
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
        yield from (f"{before[0]}{other}{before[0]}" for other in _CHARACTERS)
    else:
        # A negative number would bind otherwise, as in `mutate`.
        yield from (
            repr(value + more) for more in (1, -1, 2, -2, 3, 10) if value + more >= 0
        )


def _arguments(before: str) -> Sequence[str]:
    call = ast.parse(f"f({before})", mode="eval").body
    assert isinstance(call, ast.Call)
    return [ast.get_source_segment(f"f({before})", one) or "" for one in call.args]


def _conditions(before: str) -> Iterator[str]:
    yield from ("True", "False", f"not ({before})")
    test = ast.parse(f"({before})", mode="eval").body
    if isinstance(test, ast.BoolOp):
        halves = [
            ast.get_source_segment(f"({before})", one) or "" for one in test.values
        ]
        yield from halves
        yield from (f"not {half}" for half in halves)
        yield (" or " if isinstance(test.op, ast.And) else " and ").join(halves)
