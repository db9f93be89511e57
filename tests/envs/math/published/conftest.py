"""Benchmarks of a few rows, in the places of the published files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from envs.math.published import env, table
from envs.math.published.table import BENCHMARKS, Part
from envs.releases.repository import FOLDER_VARIABLE

ROWS = Path(__file__).with_name("data")


def small_part(part: Part) -> Part:
    content = (ROWS / part.file.name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Part(replace(part.file, sha256=digest), content.count(b"\n"))


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every benchmark has the rows of this folder."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(ROWS))
    for name, benchmark in BENCHMARKS.items():
        parts = {split: small_part(part) for split, part in benchmark.parts.items()}
        monkeypatch.setitem(BENCHMARKS, name, replace(benchmark, parts=parts))
    forget()
    yield
    forget()


def forget() -> None:
    table.problems.cache_clear()
    env._tasks.cache_clear()
