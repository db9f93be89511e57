"""AgentBench's operating-system tasks, as they were published (Apache-2.0)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.releases import RepositoryFile

__all__ = ["FILE", "Row", "is_right", "rows"]

FILE = RepositoryFile(
    "THUDM/AgentBench",
    "5bf4eb27f05bc50ca97dce45f0693c6018875c25",
    "data/os_interaction/train_0317/training.json",
    "35cbd6cc07646eab32161d64260bbcc4d0cab145a7caae69c236320a9d7c7685",
    "agentbench_os/train.json",
)
SIZE = 1000

_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_UNITS = {"": 1, "B": 1, "BYTE": 1}
for power, letter in enumerate("KMGTP", start=1):
    _UNITS[letter] = _UNITS[f"{letter}B"] = 1024**power
_SIZE = re.compile(r"\s*(\d{1,18})\s*([A-Za-z]*)\s*")


@dataclass(frozen=True)
class Row:
    """A question about files.

    | field | meaning |
    |---|---|
    | question | what to find out |
    | init | a script that makes the files |
    | example | a script that prints the answer |
    | check | how answers are compared: `integer-match`, `string-match` or `size-match` |
    """

    question: str
    init: str
    example: str
    check: str

    @property
    def command(self) -> str:
        """The example without its comments."""
        return _COMMENT.sub("", self.example).strip()


@cache
def rows() -> Sequence[Row]:
    """All 1,000 in the order of the file. Raises MissingDataError, or ValueError for others."""
    published = json.loads(FILE.path().read_bytes())
    if len(published) != SIZE:
        raise ValueError(f"agentbench_os has {len(published)} rows, expected {SIZE}")
    return [_row(row) for row in published]


def _row(row: Mapping[str, Any]) -> Row:
    evaluation = row["evaluation"]
    _, check = evaluation["check"]
    name = check["file"].removeprefix("check/").removesuffix(".py")
    return Row(row["description"], row["create"]["init"], evaluation["example"], name)


def is_right(check: str, expected: str, answer: str) -> bool | None:
    """Whether an answer is right, as AgentBench's own check has it.

    None if the expected one is no answer: no integer, no size, nothing.
    """
    read = _READERS[check]
    right = read(expected)
    return None if right is None else read(answer) == right


def _integer(text: str) -> int | None:
    text = text.strip()
    return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else None


def _text(text: str) -> str | None:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip() or None


def _bytes(text: str) -> int | None:
    """A size in bytes, from `12`, `12K`, `12 KB` and so on, in powers of 1,024."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].upper() not in _UNITS:
        return None
    return int(match[1]) * _UNITS[match[2].upper()]


_READERS: Mapping[str, Callable[[str], object]] = {
    "integer-match": _integer,
    "string-match": _text,
    "size-match": _bytes,
}
