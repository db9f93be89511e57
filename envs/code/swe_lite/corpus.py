"""The packages that `swe_lite` breaks, with their tests split into visible and hidden ones."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from envs.code.swe_lite import pypi
from envs.code.swe_lite.rename import rename_locals
from envs.parsing import parse

__all__ = [
    "DATA",
    "Source",
    "hide_tests",
    "names",
    "renamed",
    "source",
    "stable_share",
    "test_ids",
]

DATA = Path(__file__).resolve().parents[2] / "data" / "swe_lite"


@dataclass(frozen=True)
class Source:
    """A module that can be broken, and its tests.

    | field | meaning |
    |---|---|
    | name | module name; `<name>.py` and `test_<name>.py` are its files |
    | text | the right code |
    | tests | all tests; only a grading box sees them |
    | visible | the tests that a policy may see and run |
    | all_ids | `Class.method` of every test |
    | hidden_ids | those that `visible` lacks |
    """

    name: str
    text: str
    tests: str
    visible: str
    all_ids: tuple[str, ...]
    hidden_ids: frozenset[str]

    @property
    def file(self) -> str:
        """Name of the module's file, the only one that a task lets a policy change."""
        return f"{self.name}.py"

    @property
    def test_file(self) -> str:
        """Name of the test file, visible and full alike."""
        return f"test_{self.name}.py"

    @property
    def visible_ids(self) -> list[str]:
        """Tests that a run of the visible ones counts."""
        return [test for test in self.all_ids if test not in self.hidden_ids]


@cache
def source(name: str) -> Source:
    """A source of the corpus.

    Raises ValueError for a name that it lacks, ImportError where a published one cannot be had.
    """
    text, tests = pypi.read(name) if name in pypi.PACKAGES else _bundled(name)
    ids = test_ids().get(name, {"all": [], "hidden": []})
    return Source(
        name=name,
        text=text,
        tests=tests,
        visible=hide_tests(tests),
        all_ids=tuple(ids["all"]),
        hidden_ids=frozenset(ids["hidden"]),
    )


@cache
def renamed(name: str) -> Source:
    """A source whose functions have other names for their local variables."""
    found = source(name)
    return replace(found, text=rename_locals(found.text))


def names() -> list[str]:
    """Every source, sorted."""
    return sorted([*_folders(), *pypi.PACKAGES])


def stable_share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def hide_tests(text: str) -> str:
    """The test file without every second test method of each class.

    Neighbours mostly test the same function, so most bugs fail tests of both kinds.
    """
    gone: set[int] = set()
    for group in parse(text).body:
        if isinstance(group, ast.ClassDef):
            methods = [node for node in group.body if isinstance(node, ast.FunctionDef)]
            for node in [node for node in methods if node.name.startswith("test")][
                1::2
            ]:
                gone.update(_span(node))
    lines = text.split("\n")
    return "\n".join(
        line for number, line in enumerate(lines, start=1) if number not in gone
    )


def _span(node: ast.FunctionDef) -> range:
    """Line numbers of a definition, decorators included."""
    first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
    return range(first, (node.end_lineno or node.lineno) + 1)


def _bundled(name: str) -> tuple[str, str]:
    """Text of a module that this tree holds, and of its tests."""
    folder = _folders().get(name)
    if folder is None:
        raise ValueError(
            f"no source {name!r} in {DATA}; wanted one of {', '.join(names())}"
        )
    module, tests = folder / f"{name}.py", folder / f"test_{name}.py"
    return module.read_text("utf-8"), tests.read_text("utf-8")


@cache
def _folders() -> dict[str, Path]:
    return {
        path.name: path
        for kind in ("micro", "stdlib")
        for path in sorted((DATA / kind).iterdir())
        if path.is_dir()
        and path.name.isidentifier()
        and (path / f"{path.name}.py").exists()
    }


@cache
def test_ids() -> Mapping[str, Mapping[str, Any]]:
    """By source, `all` tests, the `hidden` ones, and what its `witness` shows (see `table`)."""
    path = DATA / "sources.json"
    return json.loads(path.read_text("ascii")) if path.exists() else {}
