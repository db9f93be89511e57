"""The catalogue says of each environment what the environment itself says."""

from __future__ import annotations

import sys

import pytest

from envs import registry
from envs.list import entry, main
from envs.registry import register
from envs.tool_env import ToolEnv, tool


class Bare(ToolEnv):
    """Says little.

    | | |
    |---|---|
    | source, licence | a page, |
    | | MIT |
    | versions | 0 |
    """

    name = "bare"
    splits = ("train",)

    def tasks(self, split, level):
        from envs.types import Task

        return [
            Task(f"train/0/{n}", split, level, f"{n}", f"say {n}") for n in range(3)
        ]

    @tool
    def say(self, number: int) -> str:
        """Say a number."""
        return str(number)


def test_an_entry_counts_tasks_over_all_levels():
    found = entry("toy_guess")
    # Three windows of n numbers for n = 3, 7, 15, 31, 63, and two windows of each on `id`.
    assert found.tasks["train"] == 3 * (3 + 7 + 15 + 31 + 63)
    assert found.tasks["id"] == 2 * (3 + 7 + 15 + 31 + 63)
    assert found.levels == (0, 1, 2, 3, 4)
    assert found.tools == ("guess",)
    assert found.chance == pytest.approx(5 / 9)
    assert found.family == "toy"
    assert found.licence == "generated here; Apache-2.0"
    assert found.about.startswith("Find a whole number")


def test_an_entry_needs_no_chance_and_reads_a_row_of_two_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "bare_module", sys.modules[__name__])
    register(Bare, "lister")
    found = entry("lister/bare")
    assert found.chance is None
    assert found.licence == "a page, MIT"
    assert found.tasks == {"train": 3}


@pytest.fixture
def names(day, monkeypatch):
    """Names of our environments, two of them and some others each day: counting draws all tasks."""
    others = [
        name for name in registry.names() if name not in ("swe_lite", "toy_guess")
    ]
    found = ["swe_lite", "toy_guess", *day.some(others, 2)]
    monkeypatch.setattr(registry, "names", lambda: found)
    return found


def test_every_environment_of_ours_names_its_licence(names):
    for name in names:
        assert entry(name).licence


def test_the_table_holds_every_environment(names, capsys):
    main([])
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert "ood/difficulty 982" in out
    assert "0.56" in out
    assert "\x1b" not in out


def test_a_name_that_is_none_says_so(names, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["toy_gues"])
    assert ended.value.code == 2
    assert "Did you mean 'toy_guess'?" in capsys.readouterr().err
