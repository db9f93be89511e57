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
    "source",
    "stable_share",
    "test_ids",
    "with_renamed_locals",
]

DATA = Path(__file__).resolve().parents[2] / "data" / "swe_lite"


@dataclass(frozen=True)
class Source:
    """A module that can be broken, and its tests.

    | field | meaning |
    |---|---|
    | name | module name; `<name>.py` and `test_<name>.py` are its files |
    | text | the right code |
    | tests | all tests; only a grading sandbox sees them |
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
        """Name of the test file, of the visible tests and of all of them."""
        return f"test_{self.name}.py"

    @property
    def visible_ids(self) -> list[str]:
        """Tests that a run of the visible ones counts."""
        return [test for test in self.all_ids if test not in self.hidden_ids]


@cache
def source(name: str) -> Source:
    """A source of the corpus.

    Raises ValueError for a name that it lacks, ImportError if a published one cannot be had.
    """
    if name in pypi.PACKAGES:
        text, tests = pypi.read(name)
    else:
        text, tests = _read_bundle(name)
    # A source that is only just added has no names of tests yet: the build works them out.
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
def with_renamed_locals(name: str) -> Source:
    """A source whose functions have other names for their local variables."""
    original = source(name)
    return replace(original, text=rename_locals(original.text))


def names() -> list[str]:
    """Every source, sorted."""
    return sorted([*_folders(), *pypi.PACKAGES])


def stable_share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, in every process and on every machine."""
    digest = hashlib.sha256(text.encode()).digest()
    number = int.from_bytes(digest[:6], "big")
    return number / 2**48


def hide_tests(text: str) -> str:
    """The test file without every second test method of each class.

    Neighbours mostly test the same function, so most bugs fail tests of both kinds.
    """
    hidden_lines: set[int] = set()
    for group in parse(text).body:
        if not isinstance(group, ast.ClassDef):
            continue
        tests = _test_methods(group)
        for test in tests[1::2]:
            hidden_lines.update(_lines_of(test))

    visible: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if number not in hidden_lines:
            visible.append(line)
    return "\n".join(visible)


def _test_methods(group: ast.ClassDef) -> list[ast.FunctionDef]:
    methods: list[ast.FunctionDef] = []
    for node in group.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            methods.append(node)
    return methods


def _lines_of(node: ast.FunctionDef) -> range:
    """Line numbers of a definition, decorators included."""
    first = node.lineno
    for decorator in node.decorator_list:
        first = min(first, decorator.lineno)
    last = node.end_lineno or node.lineno
    return range(first, last + 1)


def _read_bundle(name: str) -> tuple[str, str]:
    """Text of a module that this tree holds, and of its tests."""
    folder = _folders().get(name)
    if folder is None:
        choices = ", ".join(names())
        raise ValueError(f"got no source {name!r} in {DATA}, expected one of {choices}")
    module = folder / f"{name}.py"
    tests = folder / f"test_{name}.py"
    return module.read_text("utf-8"), tests.read_text("utf-8")


@cache
def _folders() -> dict[str, Path]:
    """By name, the folders of the sources that this tree holds."""
    folders: dict[str, Path] = {}
    for kind in ("micro", "stdlib"):
        for path in sorted((DATA / kind).iterdir()):
            name = path.name
            module = path / f"{name}.py"
            # Licences lie there too, and what an editor or an interpreter leaves.
            if name.isidentifier() and module.exists():
                folders[name] = path
    return folders


@cache
def test_ids() -> Mapping[str, Mapping[str, Any]]:
    """By source, `all` tests, the `hidden` ones, and what its `witness` shows (see `table`)."""
    path = DATA / "sources.json"
    if not path.exists():
        return {}
    text = path.read_text("ascii")
    return json.loads(text)
