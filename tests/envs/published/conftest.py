"""Small benchmarks, and the published files where they are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envs import registry
from envs.releases.published import FOLDER_VARIABLE
from tests.envs.published import small


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Every benchmark has a few rows of our own."""
    small.SmallData(monkeypatch, tmp_path).write()
    small.forget()
    yield
    small.forget()


@pytest.fixture(scope="session")
def need_files() -> Callable[[str], None]:
    """Skips a test if a benchmark's files would have to be fetched."""

    def skip_without(name: str) -> None:
        for file in registry.benchmark_files(name):
            if not file.is_at_hand():
                pytest.skip(
                    f"{file.name} is not at hand: run scgrpo envs releases {name}, or name a "
                    f"folder that holds it in {FOLDER_VARIABLE}"
                )

    return skip_without
