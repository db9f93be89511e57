"""The task table of `swe_lite`: one row for each bug, or pair of bugs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

from envs.code.bugs.mutate import Mutation, functions, mutate
from envs.code.swe_lite import corpus
from envs.parsing import parse

__all__ = ["Row", "rows", "rows_with_witness", "write", "write_sources"]


@dataclass(frozen=True)
class Row:
    """One bug, or two at once, and mostly four patches of the lines that they break.

    | field | meaning |
    |---|---|
    | id | unique in the table |
    | split | which split breaks this function |
    | family | `<source>:<function>` |
    | source | name in the corpus |
    | bugs | the mutations, by line |
    | failing | tests that fail, visible and hidden: they must pass again |
    | candidates | for each patch, its lines in the order of `bugs`; none: no task of level 0 |
    | answer | number of the right candidate, from 1; 0 if there are none |
    | seconds | a whole run of the tests with the bugs, rounded up to a tenth |
    | renamed | the source has other names for its local variables |
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
    renamed: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        candidates = [tuple(lines) for lines in data["candidates"]]
        fields = {
            **data,
            "bugs": tuple(Mutation(**bug) for bug in data["bugs"]),
            "failing": tuple(data["failing"]),
            "candidates": tuple(candidates),
        }
        return cls(**fields)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without `renamed` if that is false."""
        bugs = [dict(vars(bug)) for bug in self.bugs]
        data = {**vars(self), "bugs": tuple(bugs)}
        if not self.renamed:
            del data["renamed"]
        return data

    @property
    def package(self) -> corpus.Source:
        """The source, right."""
        if self.renamed:
            return corpus.with_renamed_locals(self.source)
        return corpus.source(self.source)

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
        return mutate(self.package.text, *self.bugs)

    @property
    def buggy(self) -> list[str]:
        """The broken lines."""
        return _lines_at(self.broken, self.numbers)

    @property
    def right(self) -> list[str]:
        """The lines as they should be."""
        return _lines_at(self.package.text, self.numbers)

    @property
    def function_lines(self) -> list[int]:
        """Line numbers of the broken function."""
        spans = _spans(self.source)
        return list(spans[self.function])

    def with_lines(self, lines: Sequence[str]) -> str:
        """The module's text with the broken lines replaced."""
        text = self.broken.split("\n")
        for number, line in zip(self.numbers, lines, strict=True):
            text[number - 1] = line
        return "\n".join(text)

    def with_rotated_candidates(self) -> Self:
        """The row with the last candidate in front."""
        *others, last = self.candidates
        answer = self.answer % len(self.candidates) + 1
        return replace(
            self,
            candidates=(last, *others),
            answer=answer,
        )


@cache
def rows() -> tuple[Row, ...]:
    """The whole table, in the order of the file."""
    table: list[Row] = []
    with gzip.open(corpus.DATA / "tasks.jsonl.gz", "rt", encoding="ascii") as lines:
        for line in lines:
            row = json.loads(line)
            table.append(Row.from_json(row))
    return tuple(table)


def write(tests: Mapping[str, Any], table: Sequence[Row]) -> None:
    """Writes `sources.json` and `tasks.jsonl.gz`; the same table gives the same bytes."""
    write_sources(tests)
    lines: list[str] = []
    for row in table:
        line = json.dumps(row.to_json())
        lines.append(f"{line}\n")

    text = "".join(lines)
    # The time of writing would differ.
    packed = gzip.compress(text.encode("ascii"), mtime=0)
    path = corpus.DATA / "tasks.jsonl.gz"
    path.write_bytes(packed)


def write_sources(entries: Mapping[str, Any]) -> None:
    """Writes `sources.json`: by source, its tests and what its witness is good for."""
    text = json.dumps(entries, indent=1)
    path = corpus.DATA / "sources.json"
    path.write_text(f"{text}\n", "ascii")


@cache
def rows_with_witness() -> tuple[Row, ...]:
    """The rows whose bug the witness of their source shows: those that may be tasks."""
    sources: set[str] = set()
    unseen: set[str] = set()
    for name, entry in corpus.test_ids().items():
        if "witness" not in entry:
            continue
        sources.add(name)
        witness = entry["witness"]
        unseen.update(witness.get("unseen", ()))

    suitable: list[Row] = []
    for row in rows():
        if row.source in sources and row.id not in unseen:
            suitable.append(row)
    return tuple(suitable)


@cache
def _spans(source: str) -> Mapping[str, range]:
    """Line numbers of every function, by its qualified name."""
    text = corpus.source(source).text
    module = parse(text)
    spans: dict[str, range] = {}
    for name, node in functions(module.body, ""):
        last = node.end_lineno or 0
        spans[name] = range(node.lineno, last + 1)
    return spans


def _lines_at(text: str, numbers: Sequence[int]) -> list[str]:
    lines = text.split("\n")
    return [lines[number - 1] for number in numbers]
