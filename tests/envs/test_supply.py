"""Tasks are drawn alike everywhere, and families stay in one split."""

from __future__ import annotations

from collections import Counter

from envs.supply import belongs, supply
from envs.types import Task

SPLITS = ("train", "id", "ood/noise")


def draw(rng, task_id):
    split, level, _ = task_id.rsplit("/", 2)
    return Task(task_id, split, int(level), "f", str(rng.randrange(500)))


def test_no_prompt_is_drawn_twice_and_a_seed_says_all():
    found = supply("some_env", "id", 3, draw)
    assert len({task.prompt for task in found.values()}) == len(found) == 300
    assert list(found)[:2] == ["id/3/0", "id/3/1"]
    assert supply("some_env", "id", 3, draw) == found
    assert supply("other_env", "id", 3, draw) != found


def test_a_family_belongs_to_one_of_the_splits_that_draw_alike():
    owners = Counter()
    for number in range(5000):
        owned = [split for split in SPLITS if belongs(str(number), split, "ood/noise")]
        assert len(owned) == 1
        owners[owned[0]] += 1
        assert belongs(str(number), "ood/domain", "ood/noise")
    # 3500, 1000 and 500 expected; five standard deviations are 162, 141 and 106.
    assert abs(owners["train"] - 3500) < 162
    assert abs(owners["id"] - 1000) < 141
    assert abs(owners["ood/noise"] - 500) < 106
