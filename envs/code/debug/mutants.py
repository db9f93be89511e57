"""Bugs of a snippet: one-line mutants that fail enough of its calls, and that end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from envs.code.bugs.mutate import HELD_OUT_OPERATORS, Mutation, mutate, mutations
from envs.code.debug.snippets import TIMED_OUT, Snippet, outcomes

__all__ = ["Bug", "bugs", "fails_with_each"]

_MIN_FAILING = 3
_MAX_MUTANTS = 16
_RESULT_CHARS, _LINE_CHARS = 40, 64
# What these give differs between processes.
_UNSTABLE = frozenset(
    ["hash", "id", "iter", "map", "zip", "reversed", "enumerate", "ascii"]
)


@dataclass(frozen=True)
class Bug:
    """A wrong line of a snippet.

    | field | meaning |
    |---|---|
    | line | from 1 |
    | text | the wrong line |
    | results | what each of the snippet's calls gives with it |
    | fails | which of the calls give something else than they should |
    """

    line: int
    text: str
    results: tuple[str, ...]
    fails: tuple[int, ...]


@cache
def bugs(snippet: Snippet, held_out: bool) -> tuple[Bug, ...]:
    """Mutants that fail at least three of the calls and end on all of them.

    By operators that training uses, or by the others.
    """
    usable: list[Mutation] = []
    for mutation in mutations(snippet.code):
        is_held_out = mutation.operator in HELD_OUT_OPERATORS
        if is_held_out == held_out and mutation.after not in _UNSTABLE:
            usable.append(mutation)
    # In the order of lines, the first lines would take all places.
    Random(snippet.key).shuffle(usable)

    results: list[Bug] = []
    for mutation in usable[:_MAX_MUTANTS]:
        bug = _bug(snippet, mutation)
        if bug is not None and len(bug.text) <= _LINE_CHARS:
            results.append(bug)
    return tuple(results)


def _bug(snippet: Snippet, mutation: Mutation) -> Bug | None:
    """The bug of a mutant; None if its calls cannot be shown, or too few of them fail."""
    code = mutate(snippet.code, mutation)
    results = _call_results(code, snippet.calls)
    if not results:
        return None
    pairs = zip(results, snippet.values, strict=True)
    fails: list[int] = []
    for number, (result, value) in enumerate(pairs):
        if not _equal(result, value):
            fails.append(number)
    if len(fails) < _MIN_FAILING:
        return None
    lines = code.split("\n")
    return Bug(
        line=mutation.line,
        text=lines[mutation.line - 1],
        results=results,
        fails=tuple(fails),
    )


def fails_with_each(
    snippet: Snippet,
    chosen: Sequence[Bug],
    bug: Bug,
    call: int,
) -> bool:
    """Whether a bug fails the call alone and beside each that was chosen, in a line of its own."""
    if call not in bug.fails:
        return False
    for other in chosen:
        if bug.line == other.line:
            return False
        if not _both_fail(snippet, other, bug, call):
            return False
    return True


@cache
def _both_fail(snippet: Snippet, first: Bug, second: Bug, call: int) -> bool:
    lines = snippet.code.split("\n")
    for bug in (first, second):
        lines[bug.line - 1] = bug.text
    code = "\n".join(lines)
    results = _call_results(code, snippet.calls[call : call + 1])
    if not results:
        return False
    return not _equal(results[0], snippet.values[call])


def _call_results(code: str, calls: tuple[str, ...]) -> tuple[str, ...]:
    """What the calls give; none if that cannot be run, has no end or cannot be shown."""
    try:
        results = outcomes(code, calls)
    except SyntaxError:
        return ()
    if not all(map(_can_be_shown, results)):
        return ()
    return results


def _can_be_shown(result: str) -> bool:
    """Whether a prompt can show a result, which is short and the same in every process."""
    # An address differs between processes.
    if result == TIMED_OUT or " at 0x" in result:
        return False
    return len(result) <= _RESULT_CHARS


def _equal(result: str, value: str) -> bool:
    """Whether two results are equal to an assertion, which takes 4.0 for 4."""
    if result == value:
        return True
    try:
        value_of_result = eval(result, {"nan": None})
        expected = eval(value, {})
    except (NameError, SyntaxError):
        return False
    return bool(value_of_result == expected)
