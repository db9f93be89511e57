"""The benchmarks by name, each without a tool and with Python."""

from __future__ import annotations

from envs.math.published.env import BenchmarkMath, BenchmarkMathPython

__all__ = [
    "Aime24",
    "Aime24Python",
    "Aime25",
    "Aime25Python",
    "Gsm8k",
    "Gsm8kPython",
    "Hmmt25",
    "Hmmt25Python",
    "Math500",
    "Math500Python",
]


class Gsm8k(BenchmarkMath):
    """GSM8K, word problems of grade school (arXiv:2110.14168).

    | | |
    |---|---|
    | size | 7,473 tasks of `train`, 1,319 of `id` |
    | source, licence | github.com/openai/grade-school-math; MIT |
    """

    name = benchmark = "gsm8k"
    splits = ("train", "id")


class Gsm8kPython(BenchmarkMathPython):
    """GSM8K, word problems of grade school, with Python.

    | | |
    |---|---|
    | source, licence | as `gsm8k`; MIT |
    """

    name = "gsm8k_python"
    benchmark = "gsm8k"
    splits = ("train", "id")


class Math500(BenchmarkMath):
    """MATH-500: 500 test problems of MATH (arXiv:2103.03874, selected in arXiv:2305.20050).

    | | |
    |---|---|
    | size | 500 tasks of `id` |
    | source, licence | github.com/hkust-nlp/simpleRL-reason; MIT |
    """

    name = benchmark = "math500"


class Math500Python(BenchmarkMathPython):
    """MATH-500 with Python.

    | | |
    |---|---|
    | source, licence | as `math500`; MIT |
    """

    name = "math500_python"
    benchmark = "math500"


class Aime24(BenchmarkMath):
    """American Invitational Mathematics Examination 2024, I and II.

    | | |
    |---|---|
    | size | 30 tasks of `id` |
    | source, licence | github.com/hkust-nlp/simpleRL-reason, MIT; the problems are the contest's |
    """

    name = benchmark = "aime24"


class Aime24Python(BenchmarkMathPython):
    """American Invitational Mathematics Examination 2024, with Python.

    | | |
    |---|---|
    | source, licence | as `aime24`, MIT; the problems are the contest's |
    """

    name = "aime24_python"
    benchmark = "aime24"


class Aime25(BenchmarkMath):
    """American Invitational Mathematics Examination 2025, I and II.

    | | |
    |---|---|
    | size | 30 tasks of `id` |
    | source, licence | github.com/Spencerx/PromptCoT, MIT; the problems are the contest's |
    """

    name = benchmark = "aime25"


class Aime25Python(BenchmarkMathPython):
    """American Invitational Mathematics Examination 2025, with Python.

    | | |
    |---|---|
    | source, licence | as `aime25`, MIT; the problems are the contest's |
    """

    name = "aime25_python"
    benchmark = "aime25"


class Hmmt25(BenchmarkMath):
    """Harvard-MIT Mathematics Tournament, February 2025.

    | | |
    |---|---|
    | size | 30 tasks of `id` |
    | source, licence | github.com/Spencerx/PromptCoT, MIT; the problems are the contest's |
    """

    name = benchmark = "hmmt25"


class Hmmt25Python(BenchmarkMathPython):
    """Harvard-MIT Mathematics Tournament, February 2025, with Python.

    | | |
    |---|---|
    | source, licence | as `hmmt25`, MIT; the problems are the contest's |
    """

    name = "hmmt25_python"
    benchmark = "hmmt25"
