"""Tasks are drawn alike everywhere, and families stay in one split."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from envs.supply import TaskSource, TaskTable, in_split
from envs.types import Task

SPLITS = ("train", "id", "ood/noise")


def draw(rng, task_id):
    split, level, _ = task_id.rsplit("/", 2)
    return Task(task_id, split, int(level), "f", str(rng.randrange(500)))


def test_no_prompt_is_drawn_twice_and_a_seed_says_all():
    found = list(TaskSource("some_env", "id", 3, draw))
    assert len({task.prompt for task in found}) == len(found) == 300
    assert [task.id for task in found[:2]] == ["id/3/0", "id/3/1"]
    assert list(TaskSource("some_env", "id", 3, draw)) == found
    assert list(TaskSource("other_env", "id", 3, draw)) != found


def test_tasks_are_drawn_as_far_as_somebody_looks_and_in_one_order():
    asked: list[str] = []

    def told(rng, task_id):
        asked.append(task_id)
        return draw(rng, task_id)

    supply, whole = (
        TaskSource("some_env", "id", 3, told),
        list(TaskSource("some_env", "id", 3, draw)),
    )
    assert len(supply) == 300
    assert not asked
    assert supply[2] == whole[2]
    assert asked[-1] == "id/3/2"
    assert supply.find("id/3/9") == whole[9]
    assert asked[-1] == "id/3/9"
    assert supply[1:4] == whole[1:4]
    assert asked[-1] == "id/3/9"
    assert supply[-1] == whole[-1]
    with pytest.raises(IndexError):
        supply[300]


@pytest.mark.parametrize(
    "other",
    [
        "id/3/300",
        "id/3/-1",
        "id/3/01",
        "id/3/²",
        "id/3/",
        "id/2/1",
        "ood/noise/3/1",
        "",
    ],
)
def test_an_id_of_no_task_finds_none(other):
    assert TaskSource("some_env", "id", 3, draw).find(other) is None


def test_threads_share_one_order():
    supply, whole = (
        TaskSource("some_env", "id", 3, draw),
        list(TaskSource("some_env", "id", 3, draw)),
    )
    with ThreadPoolExecutor(8) as threads:
        assert (
            list(threads.map(supply.__getitem__, reversed(range(300)))) == whole[::-1]
        )
    assert list(supply) == whole


def test_a_family_belongs_to_one_of_the_splits_that_draw_alike():
    owners = Counter()
    for number in range(5000):
        owned = [split for split in SPLITS if in_split(str(number), split, "ood/noise")]
        assert len(owned) == 1
        owners[owned[0]] += 1
        assert in_split(str(number), "ood/domain", "ood/noise")
    # 3500, 1000 and 500 expected; five standard deviations are 162, 141 and 106.
    assert abs(owners["train"] - 3500) < 162
    assert abs(owners["id"] - 1000) < 141
    assert abs(owners["ood/noise"] - 500) < 106


def test_a_table_makes_a_task_when_it_is_read_and_keeps_it():
    made: list[str] = []

    def make(task_id: str) -> Task:
        """The task, which is then noted."""
        made.append(task_id)
        return Task(task_id, "id", 0, "f", task_id)

    table = TaskTable(["id/0/a", "id/0/b", "id/0/c"], make)
    assert len(table) == 3
    assert table.find("id/0/d") is None
    assert not made
    assert table[-1].id == "id/0/c"
    assert table.find("id/0/a") is table[0]
    assert made == ["id/0/c", "id/0/a"]
    assert [task.id for task in table[:2]] == ["id/0/a", "id/0/b"]
    assert [task.id for task in table] == ["id/0/a", "id/0/b", "id/0/c"]
    assert len(made) == 3
    with pytest.raises(IndexError):
        table[3]


def test_a_table_refuses_an_id_that_comes_twice():
    with pytest.raises(ValueError, match="two tasks have the id id/0/a"):
        TaskTable(["id/0/b", "id/0/a", "id/0/a"], lambda task_id: pytest.fail(task_id))
