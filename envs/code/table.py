"""The task table of `swe_lite`: one row for each bug, or pair of bugs."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Self

from envs.code import corpus
from envs.code.mutate import Mutation, mutate

__all__ = ["Row", "rows"]


@dataclass(frozen=True)
class Row:
    """One bug, or two at once, and four patches of the lines that they break.

    | field | meaning |
    |---|---|
    | id | unique in the table |
    | split | which split breaks this function |
    | family | `<source>:<function>` |
    | source | name in the corpus |
    | bugs | the mutations, by line |
    | failing | tests that fail, visible and hidden: they must pass again |
    | candidates | for each patch, its lines in the order of `bugs` |
    | answer | number of the right candidate, from 1 |
    | seconds | a whole run of the tests with the bugs, rounded up to a tenth |
    """

    id: str
    split: str
    family: str
    source: str
    bugs: tuple[Mutation, ...]
    failing: tuple[str, ...]
    candidates: tuple[tuple[str, ...], ...]
    answer: int
    seconds: float

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            **{
                **found,
                "bugs": tuple(Mutation(**bug) for bug in found["bugs"]),
                "failing": tuple(found["failing"]),
                "candidates": tuple(tuple(lines) for lines in found["candidates"]),
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def function(self) -> str:
        """Qualified name of the broken function."""
        return self.bugs[0].function

    @property
    def numbers(self) -> list[int]:
        """Line numbers of the bugs."""
        return [bug.line for bug in self.bugs]

    @property
    def broken(self) -> str:
        """The module's text with the bugs."""
        return mutate(corpus.source(self.source).text, *self.bugs)

    @property
    def buggy(self) -> list[str]:
        """The broken lines."""
        return _picked(self.broken, self.numbers)

    @property
    def right(self) -> list[str]:
        """The lines as they should be."""
        return _picked(corpus.source(self.source).text, self.numbers)

    @property
    def function_lines(self) -> list[int]:
        """Line numbers of the broken function."""
        return list(_span(self.source, self.function))

    def with_lines(self, lines: Sequence[str]) -> str:
        """The module's text with the broken lines replaced."""
        text = self.broken.split("\n")
        for number, line in zip(self.numbers, lines, strict=True):
            text[number - 1] = line
        return "\n".join(text)

    def turned(self) -> Self:
        """The row with the last candidate in front."""
        candidates = (*self.candidates[-1:], *self.candidates[:-1])
        return replace(self, candidates=candidates, answer=self.answer % len(candidates) + 1)


@cache
def rows() -> tuple[Row, ...]:
    """The whole table, in the order of the file."""
    path = corpus.DATA / "tasks.jsonl"
    return tuple(Row.from_json(json.loads(line)) for line in path.read_text("ascii").splitlines())


@cache
def _span(source: str, function: str) -> range:
    """Line numbers of a function, by its qualified name."""
    body: Sequence[ast.stmt] = ast.parse(corpus.source(source).text).body
    first = last = 0
    for name in function.split("."):
        found = next(node for node in body if getattr(node, "name", None) == name)
        body = getattr(found, "body", [])
        first, last = found.lineno, found.end_lineno or found.lineno
    return range(first, last + 1)


def _picked(text: str, numbers: Sequence[int]) -> list[str]:
    lines = text.split("\n")
    return [lines[number - 1] for number in numbers]
