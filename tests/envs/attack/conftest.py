"""Pools of one sandbox on each backend, and the environments with holes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from envs.attack.engine import Pooled, sandbox_kinds


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.docker)])
def backend(request):
    """The name of a backend that this machine has."""
    if reason := sandbox_kinds()[request.param]:
        pytest.skip(reason)
    return request.param


@pytest.fixture
def opened(request):
    """Opens environments by name and backend, and closes them."""
    subjects: list[Pooled] = []

    def make(name: str, backend: str) -> Pooled:
        subjects.append(Pooled(name, backend))
        return subjects[-1]

    yield make
    for subject in subjects:
        subject.__exit__(None, None, None)


@pytest.fixture
def vulnerable(monkeypatch, tmp_path):
    """The name of an environment with a hole; attacks on it run in an empty folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return "vulnerable:vulnerable/{}".format
