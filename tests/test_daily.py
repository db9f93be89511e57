"""What a run takes each day, and that nothing is left out for long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.daily import Day

ROOT = Path(__file__).resolve().parents[1]
FIRST = Day(date(2026, 11, 28))
ITEMS = [f"item {number}" for number in range(23)]


def after(days: int) -> Day:
    return Day(FIRST.date + timedelta(days))


@pytest.mark.parametrize("count", [1, 4, 22])
def test_within_a_round_of_days_everything_has_its_turn(count: int):
    days = -(-len(ITEMS) // count)
    for start in (0, 100):
        taken = [after(start + n).some(ITEMS, count, "a name") for n in range(days)]
        assert {item for sample in taken for item in sample} == set(ITEMS)
        assert all(len(set(sample)) == count for sample in taken)


def test_a_day_gives_the_same_sample_again_in_the_items_order():
    sample = FIRST.some(ITEMS, 5, "a name")
    assert (
        sample
        == FIRST.some(iter(ITEMS), 5, "a name")
        == sorted(sample, key=ITEMS.index)
    )
    assert sample != after(1).some(ITEMS, 5, "a name")
    assert sample != FIRST.some(ITEMS, 5, "another name")


def test_all_is_all():
    day = Day(FIRST.date, whole=True)
    assert day.some(ITEMS, 5) == FIRST.some(ITEMS, 99) == ITEMS
    assert (day.count(5, 200), FIRST.count(5, 200)) == (200, 5)


SAMPLED = """
import pytest

@pytest.mark.daily(1, per="name")
@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("turn", ["x", "y", "z"])
def test_turns(name, turn):
    assert turn == "none"

def test_items(day):
    assert len(day.some(range(10), 2)) == 10
"""
ALONE = """
import os, time
import pytest

def noted(what):
    with open("noted", "a") as file:
        file.write(what)

@pytest.mark.xdist_group("one")
def test_one():
    noted("(")
    time.sleep(0.5)
    noted(")")

def test_other():
    noted("(")
    time.sleep(0.5)
    noted(")")

@pytest.mark.alone
@pytest.mark.parametrize("number", range(3))
def test_alone(number):
    noted("<")
    time.sleep(0.2)
    noted(">")
"""


def run_tests(folder: Path, text: str, *words: str) -> str:
    """What pytest says of a file of tests, with the hooks of `tests/conftest.py`."""
    (folder / "test_it.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [
            *command,
            "--rootdir",
            str(folder),
            "--tb",
            "short",
            "-rf",
            *words,
            "test_it.py",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def failed_cases(said: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^FAILED \S+::test_turns\[(\w)-(\w)\]", said, re.MULTILINE))


TWO = ("-n", "2", "--dist", "loadgroup")


def test_cases_of_a_test_take_turns_for_each_value_of_a_parameter(tmp_path: Path):
    said = run_tests(tmp_path, SAMPLED, "--day", "2026-11-20")
    assert sorted(name for _, name in failed_cases(said)) == ["a", "b"]
    assert "4 deselected" in said
    # In the header, with each of the three failures, and at the end.
    assert said.count("to repeat it: --day 2026-11-20") == 5
    in_workers = run_tests(tmp_path, SAMPLED, "--day", "2026-11-20", *TWO)
    assert failed_cases(in_workers) == failed_cases(said)
    whole = run_tests(tmp_path, SAMPLED, "--all")
    assert failed_cases(whole) == {(turn, name) for turn in "xyz" for name in "ab"}
    assert "6 failed, 1 passed" in whole
    assert "--day: Invalid isoformat" in run_tests(tmp_path, SAMPLED, "--day", "today")


def test_what_wants_the_machine_alone_gets_it_at_the_end(tmp_path: Path):
    assert "5 passed" in run_tests(tmp_path, ALONE, *TWO)
    noted = (tmp_path / "noted").read_text()
    assert noted.endswith("<><><>")
    assert sorted(noted[:4]) == ["(", "(", ")", ")"]
