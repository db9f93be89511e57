"""Which benchmarks there are, where their files lie, and what their rows look like."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.releases import RepositoryFile

__all__ = ["BENCHMARKS", "Benchmark", "Part", "Problem", "problems"]

CHAT_START = "<|im_start|>user\n"
CHAT_END = "\nPlease reason step by step, and put your final answer within \\boxed{}."
FINAL = "#### "


@dataclass(frozen=True)
class Problem:
    """A question, and its answer in LaTeX."""

    question: str
    answer: str


@dataclass(frozen=True)
class Part:
    """A split as its authors published it: a file, and its number of rows."""

    file: RepositoryFile
    size: int


@dataclass(frozen=True)
class Benchmark:
    """A published set of problems.

    | field | meaning |
    |---|---|
    | parts | by split here: the authors' `test` is `id`, which nothing trains on |
    | problem | reads a row of the file |
    """

    parts: Mapping[str, Part]
    problem: Callable[[Mapping[str, Any]], Problem]


@cache
def problems(name: str, split: str) -> Sequence[Problem]:
    """The problems of a split of a benchmark, in the order of its file.

    Raises MissingDataError if the file cannot be had, ValueError if it has another number of rows.
    """
    benchmark = BENCHMARKS[name]
    part = benchmark.parts[split]
    # Not `splitlines`: some questions hold other line ends of Unicode.
    lines = part.file.path().read_text("utf-8").strip().split("\n")
    if len(lines) != part.size:
        raise ValueError(f"{name} {split} has {len(lines)} rows, expected {part.size}")
    return [benchmark.problem(json.loads(line)) for line in lines]


def _gsm8k_problem(row: Mapping[str, Any]) -> Problem:
    """`answer` ends in `#### 1,080`, after a solution."""
    answer = row["answer"].rpartition(FINAL)[2]
    return Problem(row["question"], answer.strip().replace(",", ""))


def _math_problem(row: Mapping[str, Any]) -> Problem:
    """MATH's fields, which the file of AIME 2024 has as well."""
    return Problem(row["problem"], row["answer"])


def _chat_problem(row: Mapping[str, Any]) -> Problem:
    """`prompt` is a chat with a request for `\\boxed{}`, of which the question alone is read."""
    question, end, _ = row["prompt"].removeprefix(CHAT_START).rpartition(CHAT_END)
    if not end:
        raise ValueError(f"row {row['idx']}: the prompt does not end as expected")
    answer = row["reference_solution"].rpartition(FINAL)[2]
    return Problem(question, answer.strip())


_GSM8K = ("openai/grade-school-math", "3101c7d5072418e28b9008a6636bde82a006892c")
_SIMPLE_RL = (
    "hkust-nlp/simpleRL-reason",
    "cf1c7858bfc145a27aa733e75d930d34f0d318a6",
)
_PROMPT_COT = ("Spencerx/PromptCoT", "884b95044ef3fd08c30e8a225b4c9df7ab32d029")

BENCHMARKS: Mapping[str, Benchmark] = {
    "gsm8k": Benchmark(
        {
            "train": Part(
                RepositoryFile(
                    *_GSM8K,
                    "grade_school_math/data/train.jsonl",
                    "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
                    "gsm8k/train.jsonl",
                ),
                7473,
            ),
            "id": Part(
                RepositoryFile(
                    *_GSM8K,
                    "grade_school_math/data/test.jsonl",
                    "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
                    "gsm8k/test.jsonl",
                ),
                1319,
            ),
        },
        _gsm8k_problem,
    ),
    "math500": Benchmark(
        {
            "id": Part(
                RepositoryFile(
                    *_SIMPLE_RL,
                    "examples/simplelr_math_eval/data/math500/test.jsonl",
                    "35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132",
                    "math500/test.jsonl",
                ),
                500,
            )
        },
        _math_problem,
    ),
    "aime24": Benchmark(
        {
            "id": Part(
                RepositoryFile(
                    *_SIMPLE_RL,
                    "examples/simplelr_math_eval/data/aime24/test.jsonl",
                    "af2b8bd2aa911b6333ad0df32f3ca05c7ae8ed10f1731f4372c8ae26990bf7ac",
                    "aime24/test.jsonl",
                ),
                30,
            )
        },
        _math_problem,
    ),
    "aime25": Benchmark(
        {
            "id": Part(
                RepositoryFile(
                    *_PROMPT_COT,
                    "data/promptcot2_aime25_test.jsonl",
                    "03d7b92ae21870ab2414b4fdc39d093581bfe2fd27ad903ebdafbefce0236bbb",
                    "aime25/test.jsonl",
                ),
                30,
            )
        },
        _chat_problem,
    ),
    "hmmt25": Benchmark(
        {
            "id": Part(
                RepositoryFile(
                    *_PROMPT_COT,
                    "data/promptcot2_hmmt25_test.jsonl",
                    "9e13c19df3c034f1dd151320ae3c5dc76d577ee13d9f0193d3e8f34a393bf96f",
                    "hmmt25/test.jsonl",
                ),
                30,
            )
        },
        _chat_problem,
    ),
}
