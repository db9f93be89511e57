"""MBPP+'s problems, as EvalPlus published them (arXiv:2305.01210, version 0.2.0, Apache-2.0)."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.releases import RepositoryFile

__all__ = ["FILE", "SIZE", "Problem", "problems"]

SIZE = 378
QUOTES = '"""'

LEFT_OUT: Mapping[str, Sequence[int]] = {
    "Mbpp/255": (
        *(31, 32, 40, 48, 64, 66, 67, 69, 72, 76, 80, 84, 85, 88, 89, 93, 99),
        *(100, 101, 103),
    ),
    "Mbpp/462": (18, 22, 35, 44, 64, 77),
    "Mbpp/583": (19,),
    "Mbpp/599": (4, 9, 12, 16, 18, 19, 21, 22, 23, 24, 26, 35, 37, 42, 53, 73),
    "Mbpp/630": (
        *(20, 21, 22, 29, 41, 42, 46, 51, 52, 54, 60, 61, 63, 64, 71, 73, 75),
        *(76, 78, 83, 86, 88, 89, 95, 101, 103, 106, 107, 110, 111, 116, 117),
    ),
}
"""Places of the calls, by problem, whose canonical value fills over 30,000 characters, up to tens
of megabytes, or takes seconds: 75 of 41,015."""


def _unpack(content: bytes) -> bytes:
    """What a gzip file holds. Raises ValueError for any other."""
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"no gzip file: {error}") from error


FILE = RepositoryFile(
    "evalplus/mbppplus_release",
    "64fc4195b858a17cdfdb3324f0baf37939144e14",
    "MbppPlus.jsonl.gz",
    "b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad",
    "mbpp_plus/MbppPlus.jsonl",
    convert=_unpack,
)


@dataclass(frozen=True)
class Problem:
    """A function to write.

    | field | meaning |
    |---|---|
    | name | `Mbpp/2` |
    | text | what it must do, with an assertion that shows its name |
    | assertion | that assertion |
    | entry | the function's name |
    | solution | the canonical program |
    | inputs | arguments of each call that judges, those of MBPP first; without `LEFT_OUT` |
    | tolerance | absolute, of floats; 0: as EvalPlus takes it |
    """

    name: str
    text: str
    assertion: str
    entry: str
    solution: str
    inputs: Sequence[Sequence[Any]]
    tolerance: float


@cache
def problems() -> Sequence[Problem]:
    """All 378 in the order of the file.

    Raises MissingDataError if it cannot be had, ValueError if it has another number of rows.
    """
    lines = FILE.path().read_text("utf-8").strip().split("\n")
    if len(lines) != SIZE:
        raise ValueError(f"mbpp_plus has {len(lines)} rows, expected {SIZE}")
    return [_problem(json.loads(line)) for line in lines]


def _problem(row: Mapping[str, Any]) -> Problem:
    name = row["task_id"]
    text = row["prompt"].strip().removeprefix(QUOTES).removesuffix(QUOTES).strip()
    _, mark, assertion = text.rpartition("\nassert ")
    if not mark:
        raise ValueError(f"{name}: the prompt ends in no assertion")
    inputs: list[Any] = list(row["base_input"])
    # One problem has an empty object in place of an empty list.
    inputs += row["plus_input"] or []
    convert = _CONVERSIONS.get(int(name.rpartition("/")[2]), list)
    return Problem(
        name=name,
        text=text,
        assertion=f"assert {assertion}",
        entry=row["entry_point"],
        solution=row["canonical_solution"],
        inputs=[
            convert(arguments)
            for place, arguments in enumerate(inputs)
            if place not in LEFT_OUT.get(name, ())
        ],
        tolerance=float(row["atol"]),
    )


# JSON has no tuples and no complex numbers. Which arguments are some is EvalPlus' own list, by
# problem (`mbpp_deserialize_inputs`); a test holds it to the contracts of the file.
Arguments = Sequence[Any]


def _tuples(arguments: Arguments) -> list[Any]:
    return [tuple(argument) for argument in arguments]


def _lists_of_tuples(arguments: Arguments) -> list[Any]:
    return [_tuples(argument) for argument in arguments]


def _tuples_of_tuples(arguments: Arguments) -> list[Any]:
    return [tuple(_tuples(argument)) for argument in arguments]


def _list_of_tuples_first(arguments: Arguments) -> list[Any]:
    return [_tuples(arguments[0]), *arguments[1:]]


def _tuple_first(arguments: Arguments) -> list[Any]:
    return [tuple(arguments[0]), *arguments[1:]]


def _tuple_second(arguments: Arguments) -> list[Any]:
    return [arguments[0], tuple(arguments[1])]


def _tuples_throughout(arguments: Arguments) -> list[Any]:
    return [_as_tuples(argument) for argument in arguments]


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _tuples_inside_first(arguments: Arguments) -> list[Any]:
    inner = [tuple(item) if isinstance(item, list) else item for item in arguments[0]]
    return [tuple(inner), *arguments[1:]]


def _values_as_tuples(arguments: Arguments) -> list[Any]:
    pairs = {key: tuple(value) for key, value in arguments[0].items()}
    return [pairs, *arguments[1:]]


def _float_and_complex(arguments: Arguments) -> list[Any]:
    return [float(arguments[0]), complex(arguments[1])]


def _complex(arguments: Arguments) -> list[Any]:
    return [complex(arguments[0])]


_NUMBERS: Mapping[Callable[[Arguments], list[Any]], Sequence[int]] = {
    _tuples: (
        *(2, 116, 132, 222, 261, 273, 394, 421, 424, 429, 470, 560, 579, 596, 616),
        *(630, 726, 740, 744, 809),
    ),
    _lists_of_tuples: (63, 64, 70, 94, 120, 237, 272, 299, 409, 473, 614, 780),
    _tuples_of_tuples: (259, 445),
    _list_of_tuples_first: (75, 413, 753),
    _tuple_first: (250, 405, 446, 720, 763, 808),
    _tuple_second: (106, 750),
    _tuples_throughout: (580, 615, 791),
    _tuples_inside_first: (278,),
    _values_as_tuples: (722,),
    _float_and_complex: (124,),
    _complex: (252,),
}
_CONVERSIONS = {
    number: convert for convert, numbers in _NUMBERS.items() for number in numbers
}
