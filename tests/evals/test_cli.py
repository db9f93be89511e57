"""The command `scgrpo` finds modules by words."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from evals.cli import COMMANDS, main


def ended(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code, *capsys.readouterr()


def test_every_command_is_a_module_with_a_main():
    for module, about in COMMANDS.values():
        assert callable(importlib.import_module(module).main)
        assert about


def test_the_words_after_a_command_are_its_own(capsys):
    main(["envs", "list"])
    assert "code_fn" in capsys.readouterr().out
    code, said, _ = ended(capsys, "envs", "attack", "--help")
    assert code == 0
    assert "python -m envs.attack code_fn" in said


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), ([], 2), (["envs"], 2)])
def test_help_lists_the_commands(capsys, words, code):
    got, said, _ = ended(capsys, *words)
    assert got == code
    for name in COMMANDS:
        assert f"scgrpo {name}" in said


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["envs", "atack", "code_fn"], "did you mean 'envs attack'?"),
        (["check"], "did you mean 'envs check'?"),
        (["zzz"], "`scgrpo --help` lists them"),
    ],
)
def test_an_unknown_word_gets_a_near_one(capsys, words, hint):
    code, _, said = ended(capsys, *words)
    assert code == 2
    assert said == f"scgrpo: unknown command {' '.join(words[:2])!r}; {hint}\n"


def test_the_project_installs_it():
    project = tomllib.loads(
        Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    )
    assert project["project"]["scripts"]["scgrpo"] == "evals.cli:main"
