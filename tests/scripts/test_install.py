"""Setup knows which sandbox a machine has."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "install.py"


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("there", "answers", "said"),
    [
        ({"docker"}, True, "found docker\n"),
        ({"docker", "dockerd"}, False, "found docker\n"),
        ({"bwrap"}, False, "found bwrap\n"),
        ({"docker", "dockerd", "bwrap"}, False, "found docker and bwrap\n"),
        ({"docker"}, False, "apt-get install bubblewrap docker.io"),
        (set(), False, "apt-get install bubblewrap docker.io"),
    ],
)
def test_a_client_without_an_engine_is_no_sandbox(
    install: ModuleType, monkeypatch, capsys, there: set[str], answers: bool, said: str
):
    monkeypatch.setattr(
        install.shutil, "which", lambda name: name if name in there else None
    )
    monkeypatch.setattr(
        install.subprocess, "call", lambda *_, **__: 0 if answers else 1
    )
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    install.install_sandbox()
    assert said in capsys.readouterr().out
