"""LiveCodeBench's problems and tests (arXiv:2403.07974), release 6, from the hub."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Literal

from envs.releases import HubFile

__all__ = ["FIRST_DAY", "Half", "Problem", "SIZE", "Test", "problems"]

FIRST_DAY = "2025-02-01"
"""Of the contests of release 6 from this day on, as arXiv:2606.18810 and others take it."""
SIZE, ROWS = 131, 175

FILE = HubFile(
    "livecodebench/code_generation_lite",
    "0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
    "test6.jsonl",
    "bb4c364f71921c4495a6ad15abe1a927350b720009f4933e2e71f8af0f6fd1f5",
    "livecodebench/test6.jsonl",
)

Half = Literal["first", "second"]


@dataclass(frozen=True)
class Test:
    """What a program reads and must give: texts, or JSON for a function (an argument a line)."""

    input: str
    output: str


@dataclass(frozen=True)
class Problem:
    """A problem of a contest.

    | field | meaning |
    |---|---|
    | name | its id, such as `abc391_d` |
    | text | the statement |
    | starter | code that the program must begin with; empty if it reads standard input |
    | function | the method of `Solution` to write; empty if it reads standard input |
    | public | tests that the statement shows |
    | packed | the other tests as they were published |
    """

    name: str
    text: str
    starter: str
    function: str
    public: Sequence[Test]
    packed: str

    def tests(self) -> Sequence[Test]:
        """All tests, public ones first; unpacked at each call, for some fill megabytes."""
        return [*self.public, *_tests(_unpack(self.packed))]

    def half(self, which: Half) -> Sequence[Test]:
        """A half of the tests, drawn at random from the problem's name; the second may be larger.

        CHOSEN: the draw. STATED (arXiv:2606.18810, B.1): "randomly sample half of the unit tests
        per problem [...] as our training set and reserve the other half for evaluation".
        """
        tests = self.tests()
        count = len(tests)
        numbers = Random(f"livecodebench {self.name}").sample(range(count), count // 2)
        first = set(numbers)
        return [
            test
            for number, test in enumerate(tests)
            if (number in first) == (which == "first")
        ]


@cache
def problems() -> Sequence[Problem]:
    """The 131 problems, in the order of the file.

    Raises MissingDataError if it cannot be had, ValueError if it has another number of rows.
    """
    with FILE.path().open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    chosen = [_problem(row) for row in rows if row["contest_date"] >= FIRST_DAY]
    if (len(rows), len(chosen)) != (ROWS, SIZE):
        raise ValueError(
            f"livecodebench has {len(rows)} rows and {len(chosen)} from {FIRST_DAY} on, "
            f"expected {ROWS} and {SIZE}"
        )
    return chosen


def _problem(row: Mapping[str, Any]) -> Problem:
    metadata = json.loads(row["metadata"])
    return Problem(
        name=row["question_id"],
        text=row["question_content"].strip(),
        starter=row["starter_code"].rstrip(),
        function=metadata.get("func_name") or "",
        public=_tests(json.loads(row["public_test_cases"])),
        packed=row["private_test_cases"],
    )


def _tests(rows: Sequence[Mapping[str, str]]) -> list[Test]:
    return [Test(row["input"], row["output"]) for row in rows]


class _TextUnpickler(pickle.Unpickler):
    """Reads plain values alone: a pickle could otherwise run anything."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Refuses every class."""
        raise pickle.UnpicklingError(f"{module_name}.{global_name} in a file of tests")


def _unpack(packed: str) -> Any:
    """Tests as JSON, or that as a pickled text, compressed and in base 64."""
    if packed.startswith("["):
        return json.loads(packed)
    data = zlib.decompress(base64.b64decode(packed))
    return json.loads(_TextUnpickler(io.BytesIO(data)).load())
