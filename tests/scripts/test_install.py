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


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ((True, "13.0", True), ""),
        ((True, "13.0", False), "built for CUDA 13.0, cannot use it"),
        ((True, "", False), "built for the CPU alone, cannot use it"),
        ((False, "", False), ""),
        ((False, "13.0", False), "takes gigabytes"),
    ],
)
def test_a_torch_that_cannot_use_the_gpu_is_told(
    install: ModuleType, facts: tuple[bool, str, bool], said: str
):
    note = install.torch_note(*facts)
    assert said in note
    assert bool(note) == bool(said)
