"""Split names, and what two splits must not share."""

from __future__ import annotations

import pytest

from envs.splits import SHIFTS, check_split, overlaps
from envs.types import Task


def task(key, split, family, prompt):
    return Task(f"{split}/0/{key}", split, 0, family, prompt)


@pytest.mark.parametrize("name", ["train", "id", *(f"ood/{shift}" for shift in SHIFTS)])
def test_a_known_split_is_accepted(name):
    assert check_split(name) == name


@pytest.mark.parametrize("name", ["", "test", "ood", "ood/", "ood/typo", "OOD/noise"])
def test_any_other_is_refused(name):
    with pytest.raises(ValueError, match="expected train, id or ood/<shift>"):
        check_split(name)


def test_tasks_of_one_split_may_share_everything_but_an_id():
    a = task("a", "train", "f", "p")
    assert overlaps([a, task("b", "train", "f", "p")]) == []
    assert overlaps([a, task("a", "train", "f", "p")]) == [
        "two tasks have the id train/0/a"
    ]


def test_a_shared_family_and_a_shared_content_are_found():
    a, b = task("a", "train", "f", "p"), task("b", "id", "f", "q")
    assert overlaps([a, b]) == ["train/0/a and id/0/b share family f"]
    c = task("c", "id", "g", "p")
    (found,) = overlaps([a, c])
    assert found.startswith("train/0/a and id/0/c share content ")
