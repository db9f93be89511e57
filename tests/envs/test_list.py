"""The catalogue says of each environment what the environment itself says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from envs import registry
from envs.list import entry, main, recorded_entries
from envs.registry import register
from envs.releases import MissingDataError
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


def test_the_record_says_what_the_environments_say():
    recorded = {known.name: known for known in recorded_entries()}
    assert list(recorded) == [*registry.names(), *registry.benchmark_names()]
    for name in registry.names():
        assert recorded[name] == entry(name), "run: scgrpo envs list --record"


@pytest.mark.parametrize("name", registry.benchmark_names())
def test_the_record_says_what_a_benchmark_says(name):
    pytest.importorskip("math_verify", reason="needs the extra `benchmarks`")
    recorded = {known.name: known for known in recorded_entries()}
    try:
        current = entry(name)
    except MissingDataError as error:
        pytest.skip(str(error))
    assert recorded[name] == current, "run: scgrpo envs list --record"


def test_every_environment_of_ours_names_its_licence():
    assert all(known.licence for known in recorded_entries())


def test_the_table_holds_every_environment_and_makes_none(monkeypatch, capsys):
    monkeypatch.setattr(registry, "make", None)
    main([])
    out = capsys.readouterr().out
    assert all(known.name in out for known in recorded_entries())
    assert "ood/difficulty 982" in out
    assert "0.56" in out
    assert "\x1b" not in out


def test_an_environment_that_is_named_is_asked(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bare_module", sys.modules[__name__])
    register(Bare, "lister")
    main(["lister/bare", "toy_guess"])
    out = capsys.readouterr().out
    assert out.count("lister/bare") == 1
    assert out.count("toy_guess") == 1
    assert "train 3" in out


def test_listing_our_environments_does_no_work_of_theirs():
    code = "import sys; from envs.list import main; main([]); print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    modules = done.stdout.split("\n")
    assert "envs.list" in modules, done.stderr
    assert not [name for name in modules if name.startswith("envs.toy")]
    assert not {"torch", "docker", "envs.checks.run"} & set(modules)


def test_a_name_that_is_none_says_so(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["toy_gues"])
    assert ended.value.code == 2
    assert "Did you mean 'toy_guess'?" in capsys.readouterr().err
