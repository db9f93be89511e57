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
_MOST_LINES, _LARGEST = 1000, 10**15
_RAISED = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
_WORDS = (
    "red",
    "Blue",
    "green",
    "sky",
    "Oak",
    "pine",
    "42",
    "7",
    "level",
    "noon",
    "a",
    "tea",
)
_TEXTS = (
    "aabbc",
    "Hello you",
    "a-b-c",
    "x1y22",
    "noon",
    "  pad ",
    "Tea time",
    "AbBa",
    "k=v=w",
)

_TEMPLATES = (
    Path(__file__).parents[2] / "data" / "code_debug" / "functions.py"
).read_text("utf-8")


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
    found = (
        one
        for text in _TEMPLATES.strip().split("\n\n")
        for one in _versions(text, split)
    )
    return tuple(one for one in found if len(one.calls) == _CALLS)


def outcomes(code: str, calls: tuple[str, ...]) -> tuple[str, ...]:
    """What each call gives, `raises <exception>` or `does not end`; for our own code only."""
    space: dict[str, Any] = {}
    exec(compile(code, "snippet", "exec"), space)
    return tuple(_outcome(call, space, "while" in code) for call in calls)


def _versions(template: str, split: str) -> list[Snippet]:
    name = template[4 : template.index("(")]
    holes = [hole for hole in _CONSTANTS if re.search(rf"\b{hole}\b", template)]
    every = list(itertools.product(*(_CONSTANTS[hole] for hole in holes)))
    chosen = Random(name).sample(every, min(_VERSIONS, len(every)))
    found: list[Snippet] = []
    for values in chosen:
        key = "-".join([name, *map(str, values)])
        code = template.strip()
        for hole, value in zip(holes, values, strict=True):
            code = re.sub(rf"\b{hole}\b", str(value), code)
        if split_of(key, OWNERS) == split:
            found.append(Snippet(key, code, *_called(key, name, code)))
    return found


def _called(key: str, name: str, code: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rng = Random(key)
    function = parse(code).body[0]
    assert isinstance(function, ast.FunctionDef)
    parameters = [argument.arg for argument in function.args.args]
    drawn = dict.fromkeys(
        f"{name}({', '.join(repr(_argument(one, rng)) for one in parameters)})"
        for _ in range(_DRAWS)
    )
    calls = tuple(call for call in drawn if len(call) <= _CALL_CHARS)
    pairs = [
        (call, value)
        for call, value in zip(calls, outcomes(code, calls), strict=True)
        if len(value) <= _VALUE_CHARS
        and not value.startswith("raises")
        and value != TIMED_OUT
    ][:_CALLS]
    return tuple(call for call, _ in pairs), tuple(value for _, value in pairs)


def _argument(name: str, rng: Random) -> Any:
    """A value for a parameter of that name."""
    if name == "numbers":
        return [rng.randint(-6, 20) for _ in range(rng.randint(4, 6))]
    if name == "grid":
        width = rng.randint(2, 3)
        return [
            [rng.randint(-3, 9) for _ in range(width)] for _ in range(rng.randint(2, 3))
        ]
    if name == "words":
        return rng.sample(_WORDS, 4)
    if name == "word":
        letters = rng.choices("abcdxyz", k=rng.randint(2, 4))
        return rng.choice([*(w for w in _WORDS if w.isalpha()), "".join(letters)])
    if name == "text":
        cut = rng.randint(0, 2)
        return rng.choice(_TEXTS)[cut:] + rng.choice(("", "-e", "=z", "oo", " Q"))
    if name == "table":
        return {word: rng.randint(0, 12) for word in rng.sample(_WORDS, 3)}
    return rng.randint(*{"n": (0, 40), "m": (1, 12)}[name])


def _outcome(call: str, space: dict[str, Any], loops: bool) -> str:
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        # A product that grows in a loop takes forever in few lines.
        large = any(
            isinstance(one, int) and one > _LARGEST for one in frame.f_locals.values()
        )
        if large or lines > _MOST_LINES:
            raise TimeoutError
        return count

    before = sys.gettrace()
    try:
        if loops:
            sys.settrace(count)
        return repr(eval(call, space))
    except TimeoutError:
        return TIMED_OUT
    except (*_RAISED, NameError) as error:
        return f"raises {type(error).__name__}"
    finally:
        sys.settrace(before)
