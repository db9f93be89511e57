"""Small functions of our own, with calls of them and what these return: `code_debug` breaks them.

In a template K and J stand for constants, V and R for names that say nothing. A parameter's name
says what it is called with (see `_argument`).
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from envs.parsing import parse
from envs.supply import split_of

__all__ = ["OWNERS", "Snippet", "outcomes", "snippets"]

OWNERS = (
    ("train",) * 10 + ("id",) * 3 + ("ood/difficulty",) * 3 + ("ood/composition",) * 4
)
"""Which split owns a snippet, by the hash of its key modulo 20."""
TIMED_OUT = "does not end"
_CONSTANTS = {"K": (2, 3, 4, 5, 6, 7), "J": (1, 2, 3, 5, 8, 9)}
_VERSIONS = 12
_CALLS, _DRAWS = 14, 60
_CALL_CHARS, _VALUE_CHARS = 44, 30
_MAX_LINES, _MAX_NUMBER = 1000, 10**15
_RAISED = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
_RANGES = {"n": (0, 40), "m": (1, 12)}
_WORDS = (
    *("red", "Blue", "green", "sky", "Oak", "pine"),
    *("42", "7", "level", "noon", "a", "tea"),
)
_TEXTS = (
    *("aabbc", "Hello you", "a-b-c", "x1y22", "noon"),
    *("  pad ", "Tea time", "AbBa", "k=v=w"),
)
_ENDINGS = ("", "-e", "=z", "oo", " Q")

_DATA = Path(__file__).parents[2] / "data" / "code_debug"
_TEMPLATES = (_DATA / "functions.py").read_text("utf-8")


@dataclass(frozen=True)
class Snippet:
    """A right function, and calls of it.

    | field | meaning |
    |---|---|
    | key | name and constants; nothing else shares it |
    | code | source, whose names V and R are open |
    | calls | expressions, none twice |
    | values | what each gives, as `repr` writes it |
    """

    key: str
    code: str
    calls: tuple[str, ...]
    values: tuple[str, ...]


@cache
def snippets(split: str) -> tuple[Snippet, ...]:
    """Every snippet that a split owns, in the templates' order."""
    usable: list[Snippet] = []
    for template in _TEMPLATES.strip().split("\n\n"):
        for snippet in _versions(template, split):
            if len(snippet.calls) == _CALLS:
                usable.append(snippet)
    return tuple(usable)


def outcomes(code: str, calls: tuple[str, ...]) -> tuple[str, ...]:
    """What each call gives, `raises <exception>` or `does not end`; for our own code only."""
    space: dict[str, Any] = {}
    program = compile(code, "snippet", "exec")
    exec(program, space)
    # Only a `while` may not end; counting lines makes the others slow.
    has_loop = "while" in code
    return tuple(_outcome(call, space, has_loop) for call in calls)


def _versions(template: str, split: str) -> list[Snippet]:
    """A template with constants in its holes, as far as the split owns the results."""
    name = template[4 : template.index("(")]
    holes: list[str] = []
    for hole in _CONSTANTS:
        if re.search(rf"\b{hole}\b", template):
            holes.append(hole)
    constants_of_holes = [_CONSTANTS[hole] for hole in holes]
    choices = list(itertools.product(*constants_of_holes))
    count = min(_VERSIONS, len(choices))

    versions: list[Snippet] = []
    for constants in Random(name).sample(choices, count):
        texts = [str(constant) for constant in constants]
        key = "-".join([name, *texts])
        if split_of(key, OWNERS) != split:
            continue
        # Whole words: a hole may be a letter of a name.
        code = template.strip()
        for hole, text in zip(holes, texts, strict=True):
            code = re.sub(rf"\b{hole}\b", text, code)
        snippet = _snippet(key, name, code)
        versions.append(snippet)
    return versions


def _snippet(key: str, name: str, code: str) -> Snippet:
    """The snippet with the first calls that give short values, at most `_CALLS` of them."""
    calls = _random_calls(Random(key), name, code)
    values = outcomes(code, calls)
    usable_calls: list[str] = []
    short_values: list[str] = []
    for call, value in zip(calls, values, strict=True):
        if _is_short_value(value):
            usable_calls.append(call)
            short_values.append(value)
    return Snippet(
        key=key,
        code=code,
        calls=tuple(usable_calls[:_CALLS]),
        values=tuple(short_values[:_CALLS]),
    )


def _is_short_value(outcome: str) -> bool:
    """Whether a call's outcome is a value, and short enough for an assertion."""
    if outcome.startswith("raises") or outcome == TIMED_OUT:
        return False
    return len(outcome) <= _VALUE_CHARS


def _random_calls(rng: Random, name: str, code: str) -> tuple[str, ...]:
    (function,) = parse(code).body
    assert isinstance(function, ast.FunctionDef)
    parameters = [parameter.arg for parameter in function.args.args]

    # A dictionary keeps the order of the draws.
    calls: dict[str, None] = {}
    for _ in range(_DRAWS):
        arguments = [_argument(parameter, rng) for parameter in parameters]
        listed = ", ".join(map(repr, arguments))
        calls[f"{name}({listed})"] = None
    return tuple(call for call in calls if len(call) <= _CALL_CHARS)


def _argument(name: str, rng: Random) -> Any:
    """A random value for a parameter of that name."""
    if name in _RANGES:
        lowest, highest = _RANGES[name]
        return rng.randint(lowest, highest)
    if name in ("numbers", "grid"):
        return _random_numbers(name, rng)
    if name == "words":
        return rng.sample(_WORDS, 4)
    if name == "word":
        count = rng.randint(2, 4)
        letters = rng.choices("abcdxyz", k=count)
        choices = [word for word in _WORDS if word.isalpha()]
        choices.append("".join(letters))
        return rng.choice(choices)
    if name == "text":
        start = rng.randint(0, 2)
        text = rng.choice(_TEXTS)
        ending = rng.choice(_ENDINGS)
        return text[start:] + ending
    if name == "table":
        words = rng.sample(_WORDS, 3)
        return {word: rng.randint(0, 12) for word in words}
    raise ValueError(f"got the parameter {name!r}, which no kind of argument fits")


def _random_numbers(name: str, rng: Random) -> Any:
    """A list of whole numbers, or a grid of them, which is a list of rows."""
    if name == "numbers":
        count = rng.randint(4, 6)
        return [rng.randint(-6, 20) for _ in range(count)]

    width = rng.randint(2, 3)
    height = rng.randint(2, 3)
    rows: list[list[int]] = []
    for _ in range(height):
        row = [rng.randint(-3, 9) for _ in range(width)]
        rows.append(row)
    return rows


def _outcome(call: str, space: dict[str, Any], has_loop: bool) -> str:
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        """Ends a call that runs too long; see `sys.settrace`."""
        nonlocal lines
        if event == "line":
            lines += 1
        # A product that grows in a loop takes forever in few lines.
        for value in frame.f_locals.values():
            if isinstance(value, int) and value > _MAX_NUMBER:
                raise TimeoutError
        if lines > _MAX_LINES:
            raise TimeoutError
        return count

    before = sys.gettrace()
    try:
        if has_loop:
            sys.settrace(count)
        value = eval(call, space)
        return repr(value)
    except TimeoutError:
        return TIMED_OUT
    except (*_RAISED, NameError) as error:
        return f"raises {type(error).__name__}"
    finally:
        sys.settrace(before)
